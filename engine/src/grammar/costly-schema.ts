import { JsonEnd } from '../tools/json-end.ts';

/** What a schema in a grammar in Lark follows. */
const INLINE_SCHEMA = '%json';
/** Of all objects, squared and summed up: what is compiled for properties that may be left out grows by the square. */
const MOST_LEFT_OUT = 2_000;
/** That one text must match at once: each more takes several times longer to compile. */
const MOST_PATTERNS = 8;

/** Steps by `allOf` and `$ref`, of all schemas together, and in a row. */
const MOST_STEPS = 100_000;
const DEEPEST = 100;

const STRING_RULES = ['pattern', 'format'];

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

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
  const steps = { left: MOST_STEPS };
  const open: Json[] = [root];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (typeof value !== 'object' || value === null) continue;
    if (isObject(value)) {
      squares += leftOut(value) ** 2;
      if (squares > MOST_LEFT_OUT ** 2) return `more than ${MOST_LEFT_OUT} properties may be left out`;
      if (patternsOf(value, root, steps, 0) > MOST_PATTERNS)
        return `more than ${MOST_PATTERNS} patterns or formats hold for one value`;
      if (steps.left < 0) return 'its references and `allOf` lead to too many others';
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

function leftOut({ properties, required }: { readonly [key: string]: Json }): number {
  if (!isObject(properties)) return 0;
  const needed = new Set(Array.isArray(required) ? required : []);
  return Object.keys(properties).filter((name) => !needed.has(name)).length;
}

/** How much holds for a value at once: its own, and by `allOf` and `$ref`, as far as is needed to say that it is too much. */
function patternsOf(schema: Json | undefined, root: Json, steps: { left: number }, depth: number): number {
  // Whatever refers to itself without end has no patterns, or enough of them by now.
  if (!isObject(schema) || depth > DEEPEST || --steps.left < 0) return 0;
  let count = STRING_RULES.filter((rule) => rule in schema).length;
  if (isObject(schema.patternProperties)) count += Object.keys(schema.patternProperties).length;
  if (typeof schema.$ref === 'string') count += patternsOf(at(root, schema.$ref), root, steps, depth + 1);
  for (const each of Array.isArray(schema.allOf) ? schema.allOf : []) {
    if (count > MOST_PATTERNS) return count;
    count += patternsOf(each, root, steps, depth + 1);
  }
  return count;
}

/** What a reference within the schema points to. */
function at(root: Json, reference: string): Json | undefined {
  let found: Json | undefined = root;
  for (const name of reference.replace(/^#\/?/, '').split('/')) {
    if (name === '') continue;
    if (typeof found !== 'object' || found === null) return undefined;
    found = (found as { readonly [key: string]: Json })[name.replaceAll('~1', '/').replaceAll('~0', '~')];
  }
  return found;
}

function isObject(value: Json | undefined): value is { readonly [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
