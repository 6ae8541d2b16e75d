/** Zod's first issue in OpenAI's words. */
import type { z } from 'zod';
import { ApiError } from '../errors.ts';
import { invalidType, invalidValue, missing, outOfRange, quoted, unsupported } from './fields.ts';
import { propertyCount } from './property-count.ts';
import { hints } from './schema-parts.ts';

type Issue = z.core.$ZodRawIssue;
type Path = readonly PropertyKey[];
type Schema = z.core.$ZodType & { readonly _zod: { readonly def: z.core.$ZodTypeDef } };
type Run = (schema: z.core.$ZodType, value: unknown) => z.core.ParsePayload;

/** What zod calls a type, in an error's words. */
const TYPES: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'an integer',
  boolean: 'a boolean',
  object: 'an object',
  record: 'an object',
  array: 'an array',
};

/** Most fields of an object that an error tells. */
const MOST_NAMED = 12;

/** Most of a client's key that a param repeats. */
const MAX_KEY_LENGTH = 64;

/**
 * @param issues of `value`, the first of which counts
 * @param run looks at one of a union's options again
 */
export function refusalOf(issues: readonly Issue[], value: unknown, schema: z.ZodType, run: Run): ApiError {
  const [first] = issues;
  if (first === undefined) throw new Error('there is no issue');
  const path = first.path ?? [];
  // An integer beyond what is exact is beyond the field's own bound too, which says more.
  const issue =
    issues.findLast((each) => each.code === 'too_big' && samePath(each.path ?? [], path)) ?? first;
  const field = fieldOf(schema, path[0]);
  const meant = field === undefined ? undefined : hints.get(field);
  if (meant?.onlyNeutral) return unsupportedBut(paramOf(path.slice(0, 1)), meant.instead);
  return refusal(issue, path, valueAt(value, path), run);
}

function samePath(a: Path, b: Path): boolean {
  return a.length === b.length && a.every((key, index) => key === b[index]);
}

function refusal(issue: Issue, path: Path, value: unknown, run: Run): ApiError {
  const param = paramOf(path);
  const hint = hintOf(issue);
  if (hint?.onlyNeutral) return unsupportedBut(param, hint.instead);
  switch (issue.code) {
    case 'invalid_type':
      return wrongType(param, path, hint?.expected ?? typeWords(issue), value);
    case 'invalid_value':
      if (typeof value === 'string' && hint?.unsupported?.includes(value)) {
        return unsupported(param, `'${value}' is not supported, only '${issue.values.join("', '")}' is`);
      }
      return wrongChoice(param, path, issue.values.map(String), value);
    case 'invalid_union':
      return ofUnion(issue, path, value, run);
    case 'too_small':
      return tooSmall(issue, param, value);
    case 'too_big':
      return tooBig(issue, param, value);
    case 'unrecognized_keys':
      return unknownField(issue, paramOf([...path, issue.keys[0] ?? '']));
    case 'invalid_key':
      return invalidValue(paramOf(path.slice(0, -1)), issue.issues[0]?.message ?? 'a key is not allowed.');
    default:
      return invalidValue(param, issue.message ?? wordsOf(issue) ?? 'it is not allowed.');
  }
}

function unsupportedBut(param: string, instead: string | undefined): ApiError {
  if (instead === undefined) return unsupported(param);
  return unsupported(param, `is not supported by this server, which has '${instead}' for it`);
}

/** Where there are few, all that there are are named. */
function unknownField(issue: Issue, param: string): ApiError {
  const { shape = {} } = (ownerOf(issue)?._zod.def ?? {}) as { shape?: object };
  const fields = Object.keys(shape);
  if (fields.length === 0 || fields.length > MOST_NAMED) return unsupported(param);
  return unsupported(param, `is not supported by this server; there are '${fields.join("', '")}'`);
}

/** What the schema itself says of what it refuses. */
function wordsOf(issue: Issue): string | undefined {
  const { error } = (issue.inst?._zod.def ?? {}) as { error?: (issue: Issue) => unknown };
  const words = error?.(issue);
  return typeof words === 'string' ? words : undefined;
}

/** `messages[0].content`, as OpenAI writes where a field is. */
function paramOf(path: Path): string {
  return path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key).slice(0, MAX_KEY_LENGTH)}`))
    .join('')
    .replace(/^\./, '');
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (within, key) => (within as Readonly<Record<PropertyKey, unknown>> | null | undefined)?.[key],
    value,
  );
}

function fieldOf(schema: z.ZodType, key: PropertyKey | undefined): Schema | undefined {
  const { def } = schema._zod as unknown as { def: { shape?: Record<PropertyKey, Schema> } };
  return key === undefined ? undefined : withoutWrappers(def.shape?.[key]);
}

/** The type within `nullish()`. */
function withoutWrappers(schema: Schema | undefined): Schema | undefined {
  const { type, innerType } = (schema?._zod.def ?? {}) as { type?: string; innerType?: Schema };
  return type === 'optional' || type === 'nullable' ? withoutWrappers(innerType) : schema;
}

/** The schema that an issue is of: a check is one of several of a schema. */
function ownerOf(issue: Issue): Schema | undefined {
  return (issue.schema ?? issue.inst) as Schema | undefined;
}

function hintOf(issue: Issue) {
  const owner = ownerOf(issue);
  return owner?._zod.def.type === undefined ? undefined : hints.get(owner);
}

function typeWords(issue: Issue & { code: 'invalid_type' }): string {
  const expected = issue.expected === 'number' && numberKind(issue) === 'integer' ? 'int' : issue.expected;
  return TYPES[expected] ?? expected;
}

function isAbsent(path: Path, value: unknown): boolean {
  return value === undefined || (value === null && typeof path.at(-1) === 'string');
}

function wrongType(param: string, path: Path, expected: string, value: unknown): ApiError {
  return isAbsent(path, value) ? missing(param) : invalidType(param, expected, value);
}

function wrongChoice(param: string, path: Path, values: readonly string[], value: unknown): ApiError {
  const choices = `'${values.join("', '")}'`;
  if (typeof value !== 'string') return wrongType(param, path, `one of ${choices}`, value);
  const message = `Invalid value: '${quoted(value)}'. Supported values are: ${choices}.`;
  return new ApiError('invalid_value', message, param);
}

/** The problem of the option that the value was meant for, by its type; where it is of none, all are named. */
function ofUnion(issue: Issue & { code: 'invalid_union' }, path: Path, value: unknown, run: Run): ApiError {
  const { options = [] } = (ownerOf(issue)?._zod.def ?? {}) as { options?: readonly Schema[] };
  const meant = options.find((option) => isOfType(option, value));
  const [first] = meant === undefined ? [] : run(meant, value).issues;
  if (first !== undefined) {
    const within = first.path ?? [];
    return refusal(first, [...path, ...within], valueAt(value, within), run);
  }
  const expected =
    hintOf(issue)?.expected ??
    `one of ${options.map((option) => hints.get(option)?.expected ?? TYPES[option._zod.def.type]).join(' or ')}`;
  return wrongType(paramOf(path), path, expected, value);
}

/** Whether a value is what a schema is of, going by its first element where it is an array. */
function isOfType(schema: Schema, value: unknown): boolean {
  const { type, element } = schema._zod.def as { type: string; element?: Schema };
  if (type === 'array') {
    return (
      Array.isArray(value) && (value.length === 0 || element === undefined || isOfType(element, value[0]))
    );
  }
  if (type === 'object' || type === 'record') return typeof value === 'object' && !Array.isArray(value);
  return typeof value === type;
}

function tooSmall(issue: Issue & { code: 'too_small' }, param: string, value: unknown): ApiError {
  const { minimum } = issue;
  if (typeof value === 'number') return outOfRange(numberKind(issue), 'below_min', param, minimum, value);
  const kind = Array.isArray(value) ? 'array' : 'string';
  const size = sizeOf(value);
  if (size > 0) {
    return invalidValue(param, `it must have a length of at least ${minimum}, but has ${size}.`);
  }
  const expected = `Expected ${TYPES[kind]} with minimum length ${minimum}, but got an empty ${kind} instead.`;
  return new ApiError(`empty_${kind}`, `Invalid '${param}': empty ${kind}. ${expected}`, param);
}

function tooBig(issue: Issue & { code: 'too_big' }, param: string, value: unknown): ApiError {
  const { maximum } = issue;
  if (typeof value === 'number') return outOfRange(numberKind(issue), 'above_max', param, maximum, value);
  const size = sizeOf(value);
  if (typeof value === 'object' && !Array.isArray(value)) {
    const expected = `Expected an object with at most ${maximum} properties, but got ${size} instead.`;
    const message = `Invalid '${param}': too many properties. ${expected}`;
    return new ApiError('object_above_max_properties', message, param);
  }
  const kind = Array.isArray(value) ? 'array' : 'string';
  const a = TYPES[kind];
  const expected = `Expected ${a} with maximum length ${maximum}, but got ${a} with length ${size} instead.`;
  return new ApiError(`${kind}_above_max_length`, `Invalid '${param}': ${kind} too long. ${expected}`, param);
}

function sizeOf(value: unknown): number {
  if (typeof value === 'string' || Array.isArray(value)) return value.length;
  return propertyCount(value);
}

/** Of an integer format, or any other number. */
function numberKind(issue: Issue): 'integer' | 'decimal' {
  const { format } = (ownerOf(issue)?._zod.def ?? {}) as { format?: string };
  return format === undefined ? 'decimal' : 'integer';
}
