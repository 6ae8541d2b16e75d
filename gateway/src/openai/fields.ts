/**
 * Reads the fields of a request's JSON one by one, and throws OpenAI's own error for the first that is wrong.
 * Stopping at the first keeps a body of a million wrong values as cheap as one. As with OpenAI, null counts
 * as absent.
 */
import { ApiError } from '../errors.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

/** Longest piece of a client's value that an error message repeats. */
const MAX_QUOTED = 64;

/** What a client sent for an error message: errors are kept and passed on, and no key may go with them. */
export function withoutKeys(text: string): string {
  return text.replace(/(?<![A-Za-z0-9])(plk_|sk-)[\w-]+/gi, '$1...');
}

/** A client's value for an error message, cut short. */
export function quoted(given: string): string {
  const value = withoutKeys(given);
  return value.length > MAX_QUOTED ? `${value.slice(0, MAX_QUOTED)}...` : value;
}

export function invalidType(param: string, expected: string, value: unknown): ApiError {
  const message = `Invalid type for '${param}': expected ${expected}, but got ${typeName(value)} instead.`;
  return new ApiError('invalid_type', message, param);
}

export function invalidValue(param: string, message: string): ApiError {
  return new ApiError('invalid_value', `Invalid value for '${param}': ${message}`, param);
}

export function missing(param: string): ApiError {
  return new ApiError('missing_required_parameter', `Missing required parameter: '${param}'.`, param);
}

export function unsupported(param: string, detail = 'is not supported by this server'): ApiError {
  return new ApiError('unsupported_parameter', `Unsupported parameter: '${param}' ${detail}.`, param);
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY) return 'a number too large';
  if (typeof value === 'number') return Number.isInteger(value) ? 'an integer' : 'a decimal number';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

export function booleanField(body: JsonObject, param: string): boolean {
  const value = body[param] ?? false;
  if (typeof value !== 'boolean') throw invalidType(param, 'a boolean', value);
  return value;
}

interface Range {
  readonly min: number;
  readonly max: number;
}

export function integerValue(value: unknown, param: string, { min, max }: Range): number {
  if (typeof value !== 'number' || !Number.isInteger(value)) throw invalidType(param, 'an integer', value);
  if (value < min) throw outOfRange('integer', 'below_min', param, min, value);
  if (value > max) throw outOfRange('integer', 'above_max', param, max, value);
  return value;
}

export function outOfRange(
  kind: 'integer' | 'decimal',
  side: 'below_min' | 'above_max',
  param: string,
  bound: number | bigint,
  value: unknown,
): ApiError {
  const [words, sign] = side === 'below_min' ? ['below minimum', '>='] : ['above maximum', '<='];
  return new ApiError(
    `${kind}_${side}_value`,
    `Invalid '${param}': ${kind} ${words} value. Expected a value ${sign} ${bound}, but got ${value} instead.`,
    param,
  );
}

/** A string that is not empty. */
export function textValue(value: unknown, param: string, maxLength = Number.POSITIVE_INFINITY): string {
  if (typeof value !== 'string') throw invalidType(param, 'a string', value);
  if (value === '') {
    const expected = 'Expected a string with minimum length 1, but got an empty string instead.';
    throw new ApiError('empty_string', `Invalid '${param}': empty string. ${expected}`, param);
  }
  if (value.length > maxLength) {
    const expected = `Expected a string with maximum length ${maxLength}, but got a string with length ${value.length} instead.`;
    throw new ApiError('string_above_max_length', `Invalid '${param}': string too long. ${expected}`, param);
  }
  return value;
}

/** An array of at most so many elements, not yet looked at. */
export function arrayValue(value: unknown, param: string, expected: string, maxLength: number): unknown[] {
  if (!Array.isArray(value)) throw invalidType(param, expected, value);
  if (value.length > maxLength) {
    const bound = `Expected an array with maximum length ${maxLength}, but got an array with length ${value.length} instead.`;
    throw new ApiError('array_above_max_length', `Invalid '${param}': array too long. ${bound}`, param);
  }
  return value;
}

export function objectValue(value: unknown, param: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidType(param, 'an object', value);
  }
  return value as JsonObject;
}

/** One of a few strings. */
export function choiceValue<T extends string>(value: unknown, param: string, choices: readonly T[]): T {
  if (typeof value !== 'string') throw invalidType(param, `one of '${choices.join("', '")}'`, value);
  const found = choices.find((choice) => choice === value);
  if (found === undefined) {
    const message = `Invalid value: '${quoted(value)}'. Supported values are: '${choices.join("', '")}'.`;
    throw new ApiError('invalid_value', message, param);
  }
  return found;
}
