import type { Context } from 'hono';
import type { BatchRecord } from '../batches/batch-record.ts';
import type { BatchService } from '../batches/batch-service.ts';
import { ApiError } from '../errors.ts';
import type { GatewayEnv } from '../http/context.ts';
import { readJsonBody } from '../http/json-body.ts';
import { page } from '../http/page.ts';
import { batchBody } from '../openai/batch-request.ts';
import { quoted } from '../openai/fields.ts';
import { parse } from '../openai/parse.ts';
import type { GatewayDeps } from './deps.ts';
import { refuseBeyond, requestedFile } from './files.ts';
import { openBatches } from './open-batches.ts';

const PAGE = { defaultLimit: 20, maxLimit: 100 } as const;

/** `POST /v1/batches` */
export function createBatchRoute(deps: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const body = await readJsonBody(c, deps.requestBodyLimitBytes);
    const batches = openBatches(deps);
    const { tenant, key } = c.get('access').principal;
    const { endpoint, metadata, input_file_id: inputFileId } = parse(batchBody, body);
    const input = requestedFile(batches.files, tenant, inputFileId, 'input_file_id');
    if (input.purpose !== 'batch') {
      const message = `The file '${input.id}' must have the purpose 'batch', but has '${input.purpose}'.`;
      throw new ApiError('invalid_value', message, 'input_file_id');
    }
    // What a batch will write is not known yet; whoever has room for its input again may make it.
    refuseBeyond(deps.fileStorageLimitBytes, batches.files.list(tenant), input.bytes);
    return c.json(
      batches.body(await batches.create({ tenant, key, endpoint, input, metadata: metadata ?? null })),
    );
  };
}

/** `GET /v1/batches` */
export function batchesRoute(deps: GatewayDeps) {
  return (c: Context<GatewayEnv>): Response => {
    const batches = openBatches(deps);
    const { after, limit } = c.req.query();
    const query = { ...(after === undefined ? {} : { after }), ...(limit === undefined ? {} : { limit }) };
    const all = batches.list(c.get('access').principal.tenant);
    return c.json(page(all, query, PAGE, (batch) => batches.body(batch)));
  };
}

/** `GET /v1/batches/{id}` */
export function batchRoute(deps: GatewayDeps) {
  return (c: Context<GatewayEnv>): Response => {
    const batches = openBatches(deps);
    return c.json(batches.body(requestedBatch(batches, c)));
  };
}

/** `POST /v1/batches/{id}/cancel` */
export function cancelBatchRoute(deps: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const batches = openBatches(deps);
    return c.json(batches.body(await batches.cancel(requestedBatch(batches, c))));
  };
}

/** @throws ApiError batch_not_found, the same for another tenant's batch */
function requestedBatch(batches: BatchService, c: Context<GatewayEnv>): BatchRecord {
  const id = c.req.param('id') ?? '';
  const batch = batches.find(c.get('access').principal.tenant, id);
  if (batch === undefined)
    throw new ApiError('batch_not_found', `No batch found with id '${quoted(id)}'.`, 'id');
  return batch;
}
