import { ApiError } from '../errors.ts';
import type { JsonObject } from '../openai/fields.ts';
import { refuseCostlyJson } from '../openai/json-cost.ts';

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
