import type { IncomingMessage } from 'node:http';
import type { Context } from 'hono';
import { ApiError } from '../errors.ts';
import type { JsonObject } from '../openai/fields.ts';
import { refuseCostlyJson } from '../openai/json-cost.ts';
import type { GatewayEnv } from './context.ts';

const UTF8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads a request's JSON object.
 * @param limitBytes larger bodies are refused before they are read whole
 * @throws ApiError unsupported_media_type, request_too_large, invalid_json, json_too_deep,
 *   object_above_max_properties
 */
export async function readJsonBody(c: Context<GatewayEnv>, limitBytes: number): Promise<JsonObject> {
  refuseOther(c.req.raw.headers);
  return parseJsonObject(await readBody(c, limitBytes));
}

/** @throws ApiError unsupported_media_type */
function refuseOther(headers: Headers): void {
  if (
    !isJson(headers.get('content-type')) ||
    (headers.get('content-encoding') ?? 'identity') !== 'identity'
  ) {
    const message = "Send the body as uncompressed JSON, with the header 'content-type: application/json'.";
    throw new ApiError('unsupported_media_type', message);
  }
}

/** As `readJsonBody`, where no body, of whatever type, says as much as `{}`. @throws ApiError */
export async function readOptionalJsonBody(c: Context<GatewayEnv>, limitBytes: number): Promise<JsonObject> {
  const { headers } = c.req.raw;
  const length = headers.get('content-length');
  // By HTTP, without either there is none; a request that did not come over it has its body at hand.
  const isAbsent =
    length === null &&
    headers.get('transfer-encoding') === null &&
    (c.env?.incoming !== undefined || c.req.raw.body === null);
  if (isAbsent || length === '0') return {};
  refuseOther(headers);
  const bytes = await readBody(c, limitBytes);
  return bytes.length === 0 ? {} : parseJsonObject(bytes);
}

async function readBody(c: Context<GatewayEnv>, limitBytes: number): Promise<Buffer> {
  const { incoming } = c.env ?? {};
  if (Number(c.req.raw.headers.get('content-length') ?? 0) > limitBytes) throw tooLarge(limitBytes);
  return incoming === undefined ? readBytes(c.req.raw, limitBytes) : readIncoming(incoming, limitBytes);
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

/** From Node's own stream: a request's `arrayBuffer` would copy what it reads. */
function readIncoming(incoming: IncomingMessage, limitBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let isRead = false;
    // Each request is closed in the end, and to make an error takes longer than most else that is done for one.
    const leave = () => {
      if (!isRead) reject(brokenOff());
    };
    // It tells of that once, and that may have been before.
    if (incoming.destroyed) leave();
    const chunks: Buffer[] = [];
    let size = 0;
    const take = (chunk: Buffer) => {
      size += chunk.length;
      if (size <= limitBytes) {
        chunks.push(chunk);
        return;
      }
      // The rest is the server's to read or to leave, once the answer is sent.
      incoming.off('data', take);
      incoming.pause();
      chunks.length = 0;
      reject(tooLarge(limitBytes));
    };
    incoming.on('data', take);
    incoming.on('end', () => {
      isRead = true;
      const [first] = chunks;
      resolve(first !== undefined && chunks.length === 1 ? first : Buffer.concat(chunks));
    });
    incoming.on('error', leave);
    incoming.on('close', leave);
  });
}

/** Where the app is not served by Node's server. */
async function readBytes({ body }: Request, limitBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of body ?? []) {
      size += chunk.byteLength;
      if (size > limitBytes) throw tooLarge(limitBytes);
      chunks.push(chunk);
    }
  } catch (error) {
    throw error instanceof ApiError ? error : brokenOff();
  }
  return Buffer.concat(chunks);
}

function tooLarge(limitBytes: number): ApiError {
  return new ApiError('request_too_large', `The request body may have at most ${limitBytes} bytes.`);
}

function brokenOff(): ApiError {
  return new ApiError('client_closed_request', 'The connection closed before the body was complete.');
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
