import { JsonEnd } from '../tools/json-end.ts';

/** What a schema in a grammar in Lark follows. */
const INLINE_SCHEMA = '%json';
/** Of all objects, squared and summed up: what is compiled for properties that may be left out grows by the square. */
const MOST_LEFT_OUT = 2_000;
/** That one text must match at once: each more takes several times longer to compile. */
const MOST_PATTERNS = 8;

/** Looks at a schema, of all together; a long reference is several. */
const MOST_STEPS = 100_000;
/** Of alternatives within alternatives. */
const DEEPEST = 3_000;
/** Of a reference's text, as much as one look. */
const STEP_CHARACTERS = 100;

const STRING_RULES = ['pattern', 'format'];

type Json = null | boolean | number | string | readonly Json[] | JsonObject;
type JsonObject = { readonly [key: string]: Json };

/**
 * What makes a schema one that would be compiled for seconds or for ever, though it is small; null where nothing does. Wherever it
 * stands: what only looks like a schema is counted too. What is no JSON is the compiler's to refuse.
 */
export function costOf(text: string): string | null {
  let root: Json;
  try {
    root = JSON.parse(text);
  } catch {
    return null;
  }
  let squares = 0;
  const together = new Together(root);
  const open: Json[] = [root];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (typeof value !== 'object' || value === null) continue;
    if (isObject(value)) {
      squares += leftOut(value) ** 2;
      if (squares > MOST_LEFT_OUT ** 2) return `more than ${MOST_LEFT_OUT} properties may be left out`;
      const cost = together.look(value);
      if (cost !== null) return cost;
    }
    for (const inner of Object.values(value)) open.push(inner);
  }
  return null;
}

/** As `costOf`, of the schemas in a grammar in Lark: calls of tools are written so. */
export function costOfInlineSchemas(grammar: string): string | null {
  for (let at = grammar.indexOf(INLINE_SCHEMA); at >= 0; at = grammar.indexOf(INLINE_SCHEMA, at)) {
    at += INLINE_SCHEMA.length;
    const rest = grammar.slice(at);
    const end = new JsonEnd().push(rest) ?? rest.length;
    const cost = costOf(rest.slice(0, end));
    if (cost !== null) return cost;
    at += end;
  }
  return null;
}

function leftOut({ properties, required }: JsonObject): number {
  if (!isObject(properties)) return 0;
  const needed = new Set(Array.isArray(required) ? required : []);
  return Object.keys(properties).filter((name) => !needed.has(name)).length;
}

/** What holds for a value at once: schemas, and lists of which one schema each does. */
interface Held {
  readonly schemas: readonly JsonObject[];
  readonly lists: readonly (readonly Json[])[];
}

/** Looks for patterns that must hold at once: those of `allOf` and what references lead to, also of the values within. */
class Together {
  readonly #root: Json;
  readonly #targets = new Map<string, Json | undefined>();
  readonly #ids = new Map<JsonObject, number>();
  readonly #seen = new Set<string>();
  readonly #counted = new Map<JsonObject, number>();
  #steps = MOST_STEPS;

  constructor(root: Json) {
    this.#root = root;
  }

  /** What of a schema costs too much, or of what is within it; null: nothing. */
  look(schema: JsonObject): string | null {
    const open: JsonObject[][] = [[schema]];
    for (let schemas = open.pop(); schemas !== undefined; schemas = open.pop()) {
      // What refers to itself comes back to what was seen.
      const id = this.#idOf(schemas);
      if (this.#seen.has(id)) continue;
      this.#seen.add(id);
      const held = this.#held(schemas);
      if (this.#patterns(held) > MOST_PATTERNS)
        return `more than ${MOST_PATTERNS} patterns or formats hold for one value`;
      if (this.#steps < 0) return 'its references and `allOf` lead to too many others';
      for (const inner of this.#within(held)) open.push(inner);
    }
    return null;
  }

  #idOf(schemas: readonly JsonObject[]): string {
    const ids = schemas.map((schema) => {
      const id = this.#ids.get(schema) ?? this.#ids.size;
      this.#ids.set(schema, id);
      return id;
    });
    return [...new Set(ids)].sort((a, b) => a - b).join();
  }

  /** All that holds where these do: each once, however often it is referred to, as it is compiled. */
  #held(schemas: readonly JsonObject[]): Held {
    const held = new Set<JsonObject>(schemas);
    const lists: (readonly Json[])[] = [];
    // A set goes on with what is added to it.
    for (const schema of held) {
      if (--this.#steps < 0) break;
      if (typeof schema.$ref === 'string') addTo(held, this.#target(schema.$ref));
      if (Array.isArray(schema.allOf)) for (const each of schema.allOf) addTo(held, each);
      for (const list of [schema.anyOf, schema.oneOf]) if (Array.isArray(list)) lists.push(list);
    }
    return { schemas: [...held], lists };
  }

  #patterns({ schemas, lists }: Held, depth = 0): number {
    let count = 0;
    for (const schema of schemas) count += STRING_RULES.filter((rule) => rule in schema).length;
    for (const list of lists) {
      // Of alternatives one holds: the costliest.
      let most = 0;
      for (const each of list) if (isObject(each)) most = Math.max(most, this.#patternsOf(each, depth + 1));
      count += most;
    }
    return count;
  }

  /** Of one schema alone. */
  #patternsOf(schema: JsonObject, depth: number): number {
    let count = this.#counted.get(schema);
    if (count === undefined) {
      if (depth > DEEPEST) this.#steps = -1;
      if (this.#steps < 0) return 0;
      // Should it come back to itself: that adds nothing.
      this.#counted.set(schema, 0);
      count = this.#patterns(this.#held([schema]), depth);
      this.#counted.set(schema, count);
    }
    return count;
  }

  /** The schemas that hold at once for each value within: for a property, say, those that the schemas here have for it. */
  #within({ schemas, lists }: Held): Iterable<JsonObject[]> {
    // One list of alternatives is looked at by each alone; of several together, all that they say: which go together is for the compiler.
    const alternatives =
      lists.length > 1 || (lists.length === 1 && schemas.some(hasWithin)) ? this.#alternatives(lists) : [];
    const all = [...schemas, ...alternatives];
    const found = new Map<string, JsonObject[]>();
    const add = (place: string, schema: Json | undefined) => {
      if (!isObject(schema) || --this.#steps < 0) return;
      const there = found.get(place);
      if (there === undefined) found.set(place, [schema]);
      else there.push(schema);
    };
    for (const schema of all) {
      for (const kind of ['properties', 'patternProperties'] as const) {
        const named = schema[kind];
        if (isObject(named)) for (const [name, each] of Object.entries(named)) add(`${kind} ${name}`, each);
      }
      if (Array.isArray(schema.prefixItems))
        for (const [index, each] of schema.prefixItems.entries()) add(`item ${index}`, each);
      add('items', schema.items);
      add('additional', schema.additionalProperties);
    }
    if (all.length === 1) return found.values();
    // What one says of all others holds for those that another names.
    for (const schema of all) {
      const ofNames = [schema.additionalProperties];
      if (isObject(schema.patternProperties)) ofNames.push(...Object.values(schema.patternProperties));
      if (![...ofNames, schema.items].some(isObject)) continue;
      for (const place of found.keys()) {
        if (--this.#steps < 0) break;
        if (place.startsWith('properties ') && !isNamed(schema, place))
          for (const each of ofNames) add(place, each);
        if (place.startsWith('item ') && !isIndexed(schema, place)) add(place, schema.items);
      }
    }
    return found.values();
  }

  /** All alternatives, and what holds with each. */
  #alternatives(lists: readonly (readonly Json[])[]): Set<JsonObject> {
    const found = new Set<JsonObject>();
    const open = [...lists];
    for (let list = open.pop(); list !== undefined && this.#steps >= 0; list = open.pop()) {
      for (const each of list) {
        if (!isObject(each) || found.has(each)) continue;
        const held = this.#held([each]);
        for (const schema of held.schemas) found.add(schema);
        open.push(...held.lists);
      }
    }
    return found;
  }

  /** What a reference within the schema points to. */
  #target(reference: string): Json | undefined {
    if (this.#targets.has(reference)) return this.#targets.get(reference);
    this.#steps -= reference.length / STEP_CHARACTERS;
    let found: Json | undefined = this.#root;
    for (const name of reference.replace(/^#\/?/, '').split('/')) {
      if (name === '') continue;
      if (typeof found !== 'object' || found === null) {
        found = undefined;
        break;
      }
      found = (found as JsonObject)[name.replaceAll('~1', '/').replaceAll('~0', '~')];
    }
    this.#targets.set(reference, found);
    return found;
  }
}

function addTo(schemas: Set<JsonObject>, schema: Json | undefined): void {
  if (isObject(schema)) schemas.add(schema);
}

const WITHIN = ['properties', 'patternProperties', 'prefixItems', 'items', 'additionalProperties'];

function hasWithin(schema: JsonObject): boolean {
  return WITHIN.some((name) => name in schema);
}

function isNamed({ properties }: JsonObject, place: string): boolean {
  return isObject(properties) && Object.hasOwn(properties, place.slice('properties '.length));
}

function isIndexed({ prefixItems }: JsonObject, place: string): boolean {
  return Array.isArray(prefixItems) && Number(place.slice('item '.length)) < prefixItems.length;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
