import type { Context } from 'hono';
import { embeddingAnswer } from '../embedding.ts';
import type { GatewayEnv } from '../http/context.ts';
import { readJsonBody } from '../http/json-body.ts';
import { requestedModel } from '../jobs/model.ts';
import { readEmbeddingRequest } from '../openai/embedding-request.ts';
import { readScheduling } from '../openai/scheduling.ts';
import type { GatewayDeps } from './deps.ts';

/** `POST /v1/embeddings` */
export function embeddingsRoute(deps: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const body = await readJsonBody(c.req.raw, deps.requestBodyLimitBytes);
    const backend = deps.backend();
    const { principal } = c.get('access');
    const { tenant } = principal;
    const model = await requestedModel(backend, body, principal);
    const request = readEmbeddingRequest(body, model.vocabSize);
    const scheduling = readScheduling(body, { tenant, allowPriority: deps.allowPriority });
    Object.assign(c.get('log'), { tenant, model: model.id, inputs: request.inputs.length });
    const { inFlight, metrics } = deps;
    const client = c.req.raw.signal;
    return c.json(await embeddingAnswer({ backend, model, request, scheduling, inFlight, metrics, client }));
  };
}
