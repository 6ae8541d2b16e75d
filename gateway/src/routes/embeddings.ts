import type { Context } from 'hono';
import { embeddingAnswer } from '../embedding.ts';
import { clientOf } from '../http/client.ts';
import type { GatewayEnv } from '../http/context.ts';
import { readJsonBody } from '../http/json-body.ts';
import { requestedModel } from '../jobs/model.ts';
import { readEmbeddingRequest } from '../openai/embedding-request.ts';
import { readScheduling } from '../openai/scheduling.ts';
import type { GatewayDeps } from './deps.ts';
import { reserveFor } from './reserve.ts';

/** `POST /v1/embeddings` */
export function embeddingsRoute(deps: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const body = await readJsonBody(c.req.raw, deps.requestBodyLimitBytes);
    const backend = deps.backend();
    const access = c.get('access');
    const { principal } = access;
    const model = await requestedModel(backend, body, principal);
    const request = readEmbeddingRequest(body, model.vocabSize);
    const scheduling = readScheduling(body, {
      tenant: principal.tenant,
      weight: access.tenant?.weight ?? 1,
      allowPriority: deps.allowPriority || (access.tenant?.allowPriority ?? false),
    });
    Object.assign(c.get('log'), { model: model.id, inputs: request.inputs.length });
    const answer = await embeddingAnswer({
      backend,
      model,
      request,
      scheduling,
      reserve: reserveFor(c, deps),
      inFlight: deps.inFlight,
      metrics: deps.metrics,
      client: clientOf(c),
    });
    return c.json(answer);
  };
}
