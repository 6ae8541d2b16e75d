import { ApiError } from '../errors.ts';

/** Deeper than any request needs, and shallow enough for whatever walks the result. */
const MAX_DEPTH = 100;
/** Of all objects together: where each has names of its own, as many take the parser an eighth of a second, in which nobody is served. */
const MAX_PROPERTIES = 50_000;
/** An object with no more is a shape, which the parser knows again. */
const FEW_PROPERTIES = 64;
/** Of all objects together beyond those few, which take twice as long. */
const MAX_MORE_PROPERTIES = 10_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;

/**
 * Refuses a body that would cost too much to parse, or to walk.
 *
 * @throws ApiError json_too_deep, object_above_max_properties
 */
export function refuseCostlyJson(bytes: Buffer): void {
  refuse(bytes, 'the JSON body', null);
}

/**
 * For JSON in a field's text, which is read too: what the body costs says nothing of it.
 *
 * @throws ApiError json_too_deep, object_above_max_properties
 */
export function refuseCostlyText(text: string, param: string): void {
  refuse(Buffer.from(text), `the JSON of '${param}'`, param);
}

function refuse(bytes: Buffer, what: string, param: string | null): void {
  switch (costOf(bytes)) {
    case 'deep':
      throw new ApiError(
        'json_too_deep',
        `Arrays and objects nest more than ${MAX_DEPTH} levels deep in ${what}.`,
        param,
      );
    case 'many': {
      const message = `The objects of ${what} have more than ${MAX_PROPERTIES} properties, or more than ${MAX_MORE_PROPERTIES} beyond ${FEW_PROPERTIES} each.`;
      throw new ApiError('object_above_max_properties', message, param);
    }
  }
}

/** Properties so far of the object open at each depth. */
const properties = new Uint32Array(MAX_DEPTH + 1);

/** Counts open brackets, and names, outside strings; needs no valid JSON, and is done before any parsing. */
function costOf(bytes: Buffer): 'deep' | 'many' | null {
  let [depth, all, more] = [0, 0, 0];
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index];
    if (byte === QUOTE) {
      index = endOfString(bytes, index);
    } else if (byte === 0x5b || byte === 0x7b) {
      depth++;
      if (depth > MAX_DEPTH) return 'deep';
      properties[depth] = 0;
    } else if (byte === 0x5d || byte === 0x7d) {
      // What is no JSON may close more than it opened.
      if (depth > 0) depth--;
    } else if (byte === COLON) {
      properties[depth] = (properties[depth] ?? 0) + 1;
      if (++all > MAX_PROPERTIES) return 'many';
      if ((properties[depth] ?? 0) > FEW_PROPERTIES && ++more > MAX_MORE_PROPERTIES) return 'many';
    }
  }
  return null;
}

/** Index of the quote that ends the string begun at `start`, or the end of the bytes. Searched natively: texts are long. */
function endOfString(bytes: Buffer, start: number): number {
  for (let end = bytes.indexOf(QUOTE, start + 1); end >= 0; end = bytes.indexOf(QUOTE, end + 1)) {
    let backslashes = 0;
    while (bytes[end - 1 - backslashes] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return bytes.length;
}
