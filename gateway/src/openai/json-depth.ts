import { ApiError } from '../errors.ts';

/** Deeper than any request needs, and shallow enough for whatever walks the result. */
export const MAX_JSON_DEPTH = 100;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Counts open brackets outside strings; needs no valid JSON, and is done before any parsing. */
export function isTooDeep(bytes: Buffer): boolean {
  let depth = 0;
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index];
    if (byte === QUOTE) {
      index = endOfString(bytes, index);
    } else if (byte === 0x5b || byte === 0x7b) {
      depth++;
      if (depth > MAX_JSON_DEPTH) return true;
    } else if (byte === 0x5d || byte === 0x7d) {
      depth--;
    }
  }
  return false;
}

/**
 * For JSON in a field's text, which is read too: the body's own depth says nothing of it.
 *
 * @throws ApiError json_too_deep
 */
export function refuseDeepText(text: string, param: string): void {
  if (!isTooDeep(Buffer.from(text))) return;
  const message = `Invalid value for '${param}': its JSON nests more than ${MAX_JSON_DEPTH} levels deep.`;
  throw new ApiError('json_too_deep', message, param);
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
