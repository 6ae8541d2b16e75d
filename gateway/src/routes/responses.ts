import type { Context } from 'hono';
import { ApiError } from '../errors.ts';
import type { GatewayEnv } from '../http/context.ts';
import { page } from '../http/page.ts';
import { responsesJob } from '../jobs/responses.ts';
import { quoted, unsupported } from '../openai/fields.ts';
import type { ResponseStore, StoredResponse } from '../responses/response-store.ts';
import type { GatewayDeps } from './deps.ts';
import { generateRoute } from './generate.ts';

const PAGE = { defaultLimit: 20, maxLimit: 100 } as const;

/** `POST /v1/responses` */
export function createResponseRoute(deps: GatewayDeps) {
  return generateRoute(deps, '/v1/responses', (body, model, options) =>
    responsesJob(body, model, { ...options, store: openResponses(deps) }),
  );
}

/** `GET /v1/responses/{id}` */
export function responseRoute(deps: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    if (c.req.query('stream') === 'true') throw unsupported('stream', 'is only for responses that still run');
    return c.json((await requestedResponse(openResponses(deps), c)).body);
  };
}

/** `DELETE /v1/responses/{id}` */
export function deleteResponseRoute(deps: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const id = idOf(c);
    if (!(await openResponses(deps).remove(c.get('access').principal.tenant, id))) throw notFound(id);
    return c.json({ id, object: 'response', deleted: true });
  };
}

/** `GET /v1/responses/{id}/input_items` */
export function inputItemsRoute(deps: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const { input } = await requestedResponse(openResponses(deps), c);
    return c.json(page(input.toReversed(), c.req.query(), PAGE, (item) => item));
  };
}

/** `POST /v1/responses/{id}/cancel`: of responses in the background, which there are none of. */
export function cancelResponseRoute(deps: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    await requestedResponse(openResponses(deps), c);
    const message = 'Only a response that was created with `background: true` can be cancelled.';
    throw new ApiError('response_not_cancellable', message, 'id');
  };
}

/** @throws ApiError response_not_found, the same for another tenant's response */
async function requestedResponse(store: ResponseStore, c: Context<GatewayEnv>): Promise<StoredResponse> {
  const id = idOf(c);
  const response = await store.find(c.get('access').principal.tenant, id);
  if (response === null) throw notFound(id);
  return response;
}

function idOf(c: Context<GatewayEnv>): string {
  return c.req.param('id') ?? '';
}

function notFound(id: string): ApiError {
  return new ApiError('response_not_found', `Response with id '${quoted(id)}' not found.`, 'id');
}

/** @throws ApiError while the database is not open */
function openResponses({ responses, inFlight }: GatewayDeps): ResponseStore {
  const store = responses();
  if (store !== null) return store;
  if (inFlight.draining) throw new ApiError('shutting_down', 'The server is shutting down.');
  throw new ApiError('engine_unavailable', 'The server is starting. Please try again soon.');
}
