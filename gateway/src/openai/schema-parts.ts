/**
 * What the schemas of requests are made of, beside zod's own. As with OpenAI, null counts as absent.
 *
 * Checks are made with `STOP`: without it zod goes on to a list's next element, and a client's list may have a million.
 */
import { z } from 'zod';
import { propertyCount } from './property-count.ts';

interface Hint {
  /** Other values are of a known field that asks for something this server does not do. */
  readonly onlyNeutral?: true;
  /** The field that does what this one would. */
  readonly instead?: string | undefined;
  /** Values that are known, and ask for something this server does not do. */
  readonly unsupported?: readonly string[];
  /** What was expected, in an error's words, where the schema's type does not say it well. */
  readonly expected?: string;
}

const STOP = { abort: true } as const;

/** What errors say of a schema beside what the schema itself says. */
export const hints = z.registry<Hint>();

/** A field that may be left out. `fallback` is what it then is. */
export function optional<S extends z.ZodType>(schema: S, description: string, fallback?: z.output<S>) {
  return schema.nullish().meta({ description, ...(fallback === undefined ? {} : { default: fallback }) });
}

export function decimal(min: number, max: number) {
  return z.number().min(min, STOP).max(max, STOP);
}

export function integer(min: number, max: number) {
  return z.int().min(min, STOP).max(max, STOP);
}

/** A string that is not empty. */
export function text(maxLength?: number) {
  const string = z.string().min(1, STOP);
  return maxLength === undefined ? string : string.max(maxLength, STOP);
}

interface Length {
  readonly min?: number;
  readonly max?: number;
}

/** A list whose errors say what it is a list of. */
export function list<S extends z.ZodType>(element: S, elements: string, { min = 0, max }: Length = {}) {
  const array = z.array(element).min(min, STOP);
  return expecting(max === undefined ? array : array.max(max, STOP), `an array of ${elements}`);
}

/** Names in an error what a schema expects. */
export function expecting<S extends z.ZodType>(schema: S, expected: string): S {
  hints.add(schema, { expected });
  return schema;
}

/** A field that is known, and taken where its value asks for nothing. */
export function onlyNeutral<S extends z.ZodType>(schema: S, instead?: string) {
  hints.add(schema, { onlyNeutral: true, instead });
  return schema.nullish();
}

/** A field that is known and would change the answer if we did what it asks for. */
export function unsupportedField() {
  return onlyNeutral(z.never());
}

/** A record whose entries are counted before any of them is looked at. */
export function atMost<S extends z.ZodRecord>(most: number, record: S) {
  return z.preprocess((value, context) => {
    if (propertyCount(value) <= most) return value;
    context.issues.push({ code: 'too_big', origin: 'object', maximum: most, input: value });
    return z.NEVER;
  }, record);
}
