import { propertyCount } from './property-count.ts';

/** What OpenAI's `strict` asks of a schema is not met. */
export interface StrictProblem {
  /** Keys from the root of the schema. */
  readonly context: readonly string[];
  readonly problem: string;
}

const MOST_LEVELS = 10;
const MOST_PROPERTIES = 5000;
const MOST_ENUM_VALUES = 1000;
/** Of names, of definitions' names and of values of `enum` and `const` together. */
const MOST_CHARACTERS = 120_000;

const NOT_PERMITTED = [
  'allOf',
  'not',
  'dependentRequired',
  'dependentSchemas',
  'if',
  'then',
  'else',
  'oneOf',
  'patternProperties',
  'unevaluatedProperties',
  'propertyNames',
  'minProperties',
  'maxProperties',
  'unevaluatedItems',
  'contains',
  'minContains',
  'maxContains',
  'uniqueItems',
] as const;

type Schema = Readonly<Record<string, unknown>>;

/**
 * Looks at whether a schema is of the subset that OpenAI takes with `strict: true`: objects with all of their properties
 * required and no others allowed, so that the whole form of an answer is said.
 *
 * @returns the first thing that is not; null where there is none
 */
export function strictProblem(schema: Schema): StrictProblem | null {
  if (schema.type !== 'object') {
    const type = schema.type === undefined ? 'None' : JSON.stringify(schema.type);
    return { context: [], problem: `schema must be a JSON Schema of 'type: "object"', got 'type: ${type}'` };
  }
  if (schema.anyOf !== undefined)
    return { context: [], problem: "'anyOf' is not permitted at the root level" };
  return new Walk().visit(schema, [], 0);
}

class Walk {
  #properties = 0;
  #enumValues = 0;
  #characters = 0;

  visit(schema: unknown, context: readonly string[], level: number): StrictProblem | null {
    const wrong = (problem: string): StrictProblem => ({ context, problem });
    if (typeof schema === 'boolean') return wrong('a schema must be an object');
    if (!isSchema(schema)) return wrong('a schema must be an object');
    if (level > MOST_LEVELS) return wrong(`schemas may be nested ${MOST_LEVELS} levels deep at most`);
    for (const keyword of NOT_PERMITTED) {
      if (schema[keyword] !== undefined) return wrong(`'${keyword}' is not permitted`);
    }
    return (
      this.#count(schema, context) ??
      this.#checkObject(schema, context) ??
      this.#visitAll(schema, context, level)
    );
  }

  #count(schema: Schema, context: readonly string[]): StrictProblem | null {
    const values = [
      ...(Array.isArray(schema.enum) ? schema.enum : []),
      ...(schema.const === undefined ? [] : [schema.const]),
    ];
    const names = [schema.properties, schema.$defs, schema.definitions].flatMap((map) =>
      isSchema(map) ? Object.keys(map) : [],
    );
    this.#properties += propertyCount(schema.properties);
    this.#enumValues += values.length;
    for (const text of [...values, ...names]) if (typeof text === 'string') this.#characters += text.length;
    const most = (what: string, bound: number) => ({
      context,
      problem: `schemas may have ${bound} ${what} at most`,
    });
    if (this.#properties > MOST_PROPERTIES) return most('properties', MOST_PROPERTIES);
    if (this.#enumValues > MOST_ENUM_VALUES) return most('enum values', MOST_ENUM_VALUES);
    if (this.#characters > MOST_CHARACTERS) return most('characters of names and values', MOST_CHARACTERS);
    return null;
  }

  #checkObject(schema: Schema, context: readonly string[]): StrictProblem | null {
    const types = Array.isArray(schema.type) ? schema.type : [schema.type];
    if (!types.includes('object') && schema.properties === undefined) return null;
    if (schema.additionalProperties !== false) {
      return { context, problem: "'additionalProperties' is required to be supplied and to be false" };
    }
    const required: readonly unknown[] = Array.isArray(schema.required) ? schema.required : [];
    const names = isSchema(schema.properties) ? Object.keys(schema.properties) : [];
    const asked =
      "'required' is required to be supplied and to be an array including every key in properties";
    const missing = names.find((name) => !required.includes(name));
    if (missing !== undefined) return { context, problem: `${asked}. Missing '${missing}'` };
    const extra = required.find((name) => !names.includes(String(name)));
    return extra === undefined
      ? null
      : { context, problem: `${asked}. Extra required key '${extra}' supplied` };
  }

  #visitAll(schema: Schema, context: readonly string[], level: number): StrictProblem | null {
    for (const keyword of ['properties', '$defs', 'definitions']) {
      const map = schema[keyword];
      if (!isSchema(map)) continue;
      for (const [name, inner] of Object.entries(map)) {
        const problem = this.visit(inner, [...context, keyword, name], level + 1);
        if (problem !== null) return problem;
      }
    }
    for (const keyword of ['anyOf', 'prefixItems']) {
      const list = schema[keyword];
      if (!Array.isArray(list)) continue;
      for (const [index, inner] of list.entries()) {
        const problem = this.visit(inner, [...context, keyword, String(index)], level + 1);
        if (problem !== null) return problem;
      }
    }
    return schema.items === undefined ? null : this.visit(schema.items, [...context, 'items'], level + 1);
  }
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
