import { ApiError } from '../errors.ts';
import type { JsonObject } from '../openai/fields.ts';

/** Deeper than any request needs, and shallow enough for whatever walks the result. */
const MAX_DEPTH = 100;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

const UTF8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads a request's JSON object.
 * @param limitBytes larger bodies are refused before they are read whole
 * @throws ApiError unsupported_media_type, request_too_large, invalid_json, json_too_deep
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

/** @throws ApiError invalid_json, json_too_deep */
export function parseJsonObject(bytes: Uint8Array): JsonObject {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  refuseDeepJson(buffer);
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

/** Counts open brackets outside strings; needs no valid JSON, and is done before any parsing. */
function refuseDeepJson(bytes: Buffer): void {
  let depth = 0;
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index];
    if (byte === QUOTE) {
      index = endOfString(bytes, index);
    } else if (byte === 0x5b || byte === 0x7b) {
      depth++;
      if (depth > MAX_DEPTH) {
        throw new ApiError('json_too_deep', `The JSON body nests more than ${MAX_DEPTH} levels deep.`);
      }
    } else if (byte === 0x5d || byte === 0x7d) {
      depth--;
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
