import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { Context } from 'hono';
import { contentOf, type FileRecord, type FileStore } from '../batches/file-store.ts';
import { ApiError } from '../errors.ts';
import type { GatewayEnv } from '../http/context.ts';
import { receiveUpload } from '../http/multipart.ts';
import { page } from '../http/page.ts';
import { choiceValue, missing, quoted, unsupported } from '../openai/fields.ts';
import type { GatewayDeps } from './deps.ts';
import { openBatches } from './open-batches.ts';

const PAGE = { defaultLimit: 10_000, maxLimit: 10_000 } as const;

function fileBody({ id, bytes, createdAt, filename, purpose }: FileRecord): object {
  return { id, object: 'file', bytes, created_at: createdAt, filename, purpose, status: 'processed' };
}

/** @throws ApiError file_not_found, the same for another tenant's file */
export function requestedFile(files: FileStore, tenant: string, id: string, param = 'id'): FileRecord {
  const file = files.find(tenant, id);
  if (file === undefined) throw new ApiError('file_not_found', `No such File object: ${quoted(id)}`, param);
  return file;
}

/** `POST /v1/files` */
export function createFileRoute(deps: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const { files } = openBatches(deps);
    const tenant = c.get('access').principal.tenant;
    const { id, directory } = await files.draft();
    try {
      const target = { path: contentOf(directory), limitBytes: deps.fileLimitBytes };
      const { fields, files: uploaded } = await receiveUpload(c.req.raw, { file: target });
      if (fields.purpose === undefined) throw missing('purpose');
      const purpose = choiceValue(fields.purpose, 'purpose', ['batch']);
      const extra = Object.keys(fields).find((field) => field !== 'purpose');
      if (extra !== undefined) throw unsupported(quoted(extra));
      if (uploaded.file === undefined) throw missing('file');
      const { filename, bytes } = uploaded.file;
      refuseBeyond(deps.fileStorageLimitBytes, files.list(tenant), bytes);
      const file = { id, tenant, bytes, createdAt: Math.floor(Date.now() / 1000), filename, purpose };
      await files.publish(directory, file);
      return c.json(fileBody(file));
    } catch (error) {
      await files.discard(directory);
      throw error;
    }
  };
}

/** @throws ApiError file_storage_full where a tenant with these files may not have so many bytes more */
export function refuseBeyond(limit: number, files: readonly FileRecord[], bytes: number): void {
  const used = files.reduce((sum, file) => sum + file.bytes, 0);
  if (used + bytes <= limit) return;
  const message = `Your files take ${used} of ${limit} bytes, and this would add ${bytes}. Delete some first.`;
  throw new ApiError('file_storage_full', message);
}

/** `GET /v1/files` */
export function filesRoute(deps: GatewayDeps) {
  return (c: Context<GatewayEnv>): Response => {
    const { files } = openBatches(deps);
    const query = c.req.query();
    const { purpose } = query;
    const all = files.list(c.get('access').principal.tenant);
    const wanted = purpose === undefined ? all : all.filter((file) => file.purpose === purpose);
    return c.json(page(wanted, query, PAGE, fileBody));
  };
}

/** `GET /v1/files/{id}` */
export function fileRoute(deps: GatewayDeps) {
  return (c: Context<GatewayEnv>): Response =>
    c.json(fileBody(requestedFile(openBatches(deps).files, ...whose(c))));
}

/** `GET /v1/files/{id}/content` */
export function fileContentRoute(deps: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const { files } = openBatches(deps);
    const file = requestedFile(files, ...whose(c));
    const headers = {
      'content-type': 'application/octet-stream',
      'content-length': String(file.bytes),
      'content-disposition': `attachment; filename="${file.id}.jsonl"`,
    };
    // Nobody would read the content, and so nobody close it.
    if (c.req.method === 'HEAD') return c.body(null, 200, headers);
    // Opened before the answer begins: from now on it can be read even if it is deleted.
    const handle = await open(files.path(file), 'r');
    const content = Readable.toWeb(createReadStream('', { fd: handle }));
    return c.body(content as ReadableStream, 200, headers);
  };
}

/** `DELETE /v1/files/{id}` */
export function deleteFileRoute(deps: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const batches = openBatches(deps);
    const file = requestedFile(batches.files, ...whose(c));
    if (batches.isInUse(file)) {
      throw new ApiError('file_in_use', `A batch that is not finished still reads ${file.id}.`, 'id');
    }
    await batches.files.remove(file);
    return c.json({ id: file.id, object: 'file', deleted: true });
  };
}

function whose(c: Context<GatewayEnv>): [tenant: string, id: string] {
  return [c.get('access').principal.tenant, c.req.param('id') ?? ''];
}
