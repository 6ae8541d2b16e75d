import { ApiError } from '../errors.ts';
import type { JsonObject } from '../openai/fields.ts';

/** Deeper than any request needs, and shallow enough for whatever walks the result. */
const MAX_DEPTH = 100;
/** An object with no more is a shape, and read fast. */
const FEW_PROPERTIES = 64;
/** Of all objects together beyond those few: a hundred thousand names take the parser a tenth of a second, in which nobody is served. */
const MAX_MORE_PROPERTIES = 10_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;

const UTF8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads a request's JSON object.
 * @param limitBytes larger bodies are refused before they are read whole
 * @throws ApiError unsupported_media_type, request_too_large, invalid_json, json_too_deep,
 *   object_above_max_properties
 */
export async function readJsonBody(request: Request, limitBytes: number): Promise<JsonObject> {
  const { headers } = request;
  if (
    !isJson(headers.get('content-type')) ||
    (headers.get('content-encoding') ?? 'identity') !== 'identity'
  ) {
    throw new ApiError('unsupported_media_type', 'Send the body as uncompressed application/json.');
  }
  return parseJsonObject(await readBytes(request, limitBytes));
}

/** @throws ApiError invalid_json, json_too_deep, object_above_max_properties */
export function parseJsonObject(bytes: Uint8Array): JsonObject {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  refuseCostlyJson(buffer);
  return parseObject(buffer);
}

function isJson(contentType: string | null): boolean {
  const mediaType = contentType?.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  return mediaType === 'application/json' || /^application\/[^/]+\+json$/.test(mediaType);
}

async function readBytes(request: Request, limitBytes: number): Promise<Uint8Array> {
  const tooLarge = () =>
    new ApiError('request_too_large', `The request body may have at most ${limitBytes} bytes.`);
  const length = request.headers.get('content-length');
  if (length !== null && Number(length) > limitBytes) throw tooLarge();
  try {
    // The HTTP parser delivers no more than was announced.
    if (length !== null) return new Uint8Array(await request.arrayBuffer());
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of request.body ?? []) {
      size += chunk.byteLength;
      if (size > limitBytes) throw tooLarge();
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError('client_closed_request', 'The connection closed before the body was complete.');
  }
}

/** Properties so far of the object open at each depth. */
const properties = new Uint32Array(MAX_DEPTH + 1);

/** Counts open brackets, and names, outside strings; needs no valid JSON, and is done before any parsing. */
function refuseCostlyJson(bytes: Buffer): void {
  let depth = 0;
  let more = 0;
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index];
    if (byte === QUOTE) {
      index = endOfString(bytes, index);
    } else if (byte === 0x5b || byte === 0x7b) {
      depth++;
      if (depth > MAX_DEPTH) {
        throw new ApiError('json_too_deep', `The JSON body nests more than ${MAX_DEPTH} levels deep.`);
      }
      properties[depth] = 0;
    } else if (byte === 0x5d || byte === 0x7d) {
      // What is no JSON may close more than it opened.
      if (depth > 0) depth--;
    } else if (byte === COLON) {
      properties[depth] = (properties[depth] ?? 0) + 1;
      if ((properties[depth] ?? 0) > FEW_PROPERTIES && ++more > MAX_MORE_PROPERTIES) {
        const message = `The objects of the JSON body have more than ${MAX_MORE_PROPERTIES} properties beyond ${FEW_PROPERTIES} each.`;
        throw new ApiError('object_above_max_properties', message);
      }
    }
  }
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

function parseObject(bytes: Buffer): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(UTF8.decode(bytes));
  } catch (error) {
    const reason = error instanceof SyntaxError ? 'it is not valid JSON' : 'it is not valid UTF-8';
    throw new ApiError('invalid_json', `We could not parse the JSON body of your request: ${reason}.`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ApiError('invalid_json', 'The JSON body of your request must be an object.');
  }
  return value as JsonObject;
}
