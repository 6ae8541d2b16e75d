import { pipeline, Readable, Transform } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import {
  type AdapterUploads,
  type NewUpload,
  StorageError,
  StoreError,
  type Upload,
  UploadOffsetError,
} from '@polylora/adapters-store';
import type { Context } from 'hono';
import { Hono } from 'hono';
import { ApiError } from '../../errors.ts';
import { errorResponse, type GatewayEnv } from '../../http/context.ts';
import { readJsonBody } from '../../http/json-body.ts';
import {
  arrayValue,
  integerValue,
  invalidType,
  invalidValue,
  type JsonObject,
  missing,
  textValue,
} from '../../openai/fields.ts';
import { actorOf, assertOwnName } from './actor.ts';
import { asked } from './asked.ts';
import { releaseBody } from './release-body.ts';

/** In one request: what a connection that breaks may cost at most. */
const MOST_CHUNK_BYTES = 64 << 20;
/** A configuration of 256 KiB as a JSON string, and what is beside it. */
const BEGIN_LIMIT_BYTES = 1 << 20;
const MOST_TAGS = 64;
const FIELDS = ['name', 'config', 'bytes', 'sha256', 'tags', 'note', 'parent'];
/** tus's own, and what clients send without thinking. */
const CHUNK_TYPES: ReadonlySet<string> = new Set([
  'application/offset+octet-stream',
  'application/octet-stream',
]);

/**
 * `/admin/v1/adapters/uploads`: an adapter in parts, over connections that may break. The chunks' headers are those of
 * tus, <https://tus.io/protocols/resumable-upload>.
 *
 * | | |
 * | --- | --- |
 * | `POST /` | `name`, `config` (text or object), `bytes` (of the safetensors file), and perhaps `sha256`, `tags`, `note`, `parent` |
 * | `GET /` | those that are open |
 * | `PATCH /{id}` | the bytes from `upload-offset` on |
 * | `HEAD /{id}`, `GET /{id}` | where it is |
 * | `POST /{id}/complete` | checks and pushes it; asked again, it answers the same |
 * | `DELETE /{id}` | abandons it |
 */
export function adapterUploads(uploads: () => AdapterUploads): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>();
  app.post('/', (c) =>
    asked(async () => {
      const body = await readJsonBody(c, BEGIN_LIMIT_BYTES);
      const about = readNewUpload(body);
      assertOwnName(c, about.name);
      const upload = await uploads().begin(about, actorOf(c));
      return c.json(uploadBody(upload), 201, {
        location: `${c.req.path.replace(/\/$/, '')}/${upload.id}`,
        'upload-offset': `${upload.offset}`,
      });
    }, 'config'),
  );
  app.get('/', (c) =>
    asked(async () => {
      const open = await uploads().list(actorOf(c));
      return c.json({ object: 'list', data: open.map(uploadBody), has_more: false });
    }),
  );
  app.get('/:id', (c) =>
    asked(async () => {
      const upload = await uploads().find(c.req.param('id'), actorOf(c));
      return c.json(uploadBody(upload), 200, {
        'upload-offset': `${upload.offset}`,
        'upload-length': `${upload.bytes}`,
        'cache-control': 'no-store',
      });
    }),
  );
  app.patch('/:id', (c) => asked(() => saying(() => append(c, uploads()))));
  app.post('/:id/complete', (c) =>
    asked(() =>
      saying(async () => {
        const release = await uploads().complete(c.req.param('id'), actorOf(c));
        return c.json(releaseBody(release), 201);
      }),
    ),
  );
  app.delete('/:id', (c) =>
    asked(async () => {
      await uploads().abandon(c.req.param('id'), actorOf(c));
      return c.json({ id: c.req.param('id'), deleted: true });
    }),
  );
  return app;
}

async function append(c: Context<GatewayEnv>, uploads: AdapterUploads): Promise<Response> {
  const { raw } = c.req;
  const id = c.req.param('id') ?? '';
  if (!CHUNK_TYPES.has(raw.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase() ?? '')) {
    throw new ApiError('unsupported_media_type', 'Send a chunk as application/offset+octet-stream.');
  }
  const given = raw.headers.get('upload-offset');
  if (given === null) throw missing('upload-offset');
  if (!/^\d{1,15}$/.test(given)) throw invalidType('upload-offset', 'an integer', given);
  const length = raw.headers.get('content-length');
  const tooLarge = new ApiError(
    'request_too_large',
    `A chunk may have at most ${MOST_CHUNK_BYTES} bytes; send the upload in several.`,
  );
  if (Number(length ?? 0) > MOST_CHUNK_BYTES) throw tooLarge;
  const body = Readable.fromWeb((raw.body ?? new Blob([]).stream()) as ReadableStream);
  try {
    const content = length === null ? atMost(body, tooLarge) : body;
    const known = length === null ? undefined : Number(length);
    const upload = await uploads.append(id, Number(given), content, actorOf(c), known);
    return c.body(null, 204, { 'upload-offset': `${upload.offset}` });
  } catch (error) {
    // The rest of what was refused is read, so that the connection can be used again, as it was promised to be.
    body.on('error', () => {}).resume();
    if (error instanceof ApiError || error instanceof StoreError || error instanceof StorageError)
      throw error;
    throw new ApiError('client_closed_request', 'The connection closed before the body was complete.', null, {
      cause: error,
    });
  }
}

/** A body whose length was not told. Another call's end of it reaches the connection at once, also while nothing comes. */
function atMost(body: Readable, tooLarge: ApiError): Readable {
  let bytes = 0;
  const counted = new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      bytes += chunk.length;
      if (bytes > MOST_CHUNK_BYTES) done(tooLarge);
      else done(null, chunk);
    },
  });
  // What ends either ends both, and whoever reads is told.
  pipeline(body, counted, () => {});
  return counted;
}

/** Says where the upload is, where that is what went wrong. */
async function saying(answer: () => Promise<Response>): Promise<Response> {
  try {
    return await answer();
  } catch (error) {
    if (!(error instanceof UploadOffsetError)) throw error;
    const response = errorResponse(new ApiError(error.code, error.message));
    response.headers.set('upload-offset', `${error.offset}`);
    return response;
  }
}

function readNewUpload(body: JsonObject): NewUpload {
  const [unknown] = Object.keys(body).filter((field) => !FIELDS.includes(field));
  if (unknown !== undefined) throw invalidValue(unknown.slice(0, 64), 'it is not a field of an upload.');
  for (const field of ['name', 'config', 'bytes']) if ((body[field] ?? null) === null) throw missing(field);
  const optional = (field: string) => {
    const value = body[field] ?? null;
    return value === null ? null : textValue(value, field);
  };
  return {
    name: textValue(body.name, 'name'),
    config: readConfigText(body.config),
    bytes: integerValue(body.bytes, 'bytes', { min: 1, max: Number.MAX_SAFE_INTEGER }),
    sha256: optional('sha256'),
    tags: arrayValue(body.tags ?? [], 'tags', 'an array of strings', MOST_TAGS).map((tag, index) =>
      textValue(tag, `tags[${index}]`),
    ),
    note: optional('note'),
    parent: optional('parent'),
  };
}

/** As a text it is kept as it is. */
function readConfigText(value: unknown): string {
  if (typeof value === 'string') return textValue(value, 'config');
  if (typeof value === 'object' && !Array.isArray(value)) return JSON.stringify(value, null, 2);
  throw invalidType('config', 'a string or an object', value);
}

function uploadBody({ id, name, bytes, offset, expiresAt, release }: Upload): object {
  return {
    id,
    name,
    bytes,
    offset,
    max_chunk_bytes: MOST_CHUNK_BYTES,
    expires: Math.floor(expiresAt / 1000),
    release: release === null ? null : `v${release}`,
  };
}
