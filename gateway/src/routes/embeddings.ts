import type { Context } from 'hono';
import { embeddingAnswer } from '../embedding.ts';
import { clientOf } from '../http/client.ts';
import { type GatewayEnv, jsonAnswer } from '../http/context.ts';
import { readJsonBody } from '../http/json-body.ts';
import { requestedModel } from '../jobs/model.ts';
import { readEmbeddingRequest } from '../openai/embedding-request.ts';
import { readScheduling } from '../openai/scheduling.ts';
import type { GatewayDeps } from './deps.ts';
import { reserveFor } from './reserve.ts';
import { schedulingOf } from './scheduling.ts';

/** `POST /v1/embeddings` */
export function embeddingsRoute(deps: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const body = await readJsonBody(c, deps.requestBodyLimitBytes);
    const backend = deps.backend();
    const access = c.get('access');
    const model = await requestedModel(backend, body, access.principal);
    const request = readEmbeddingRequest(body, model.vocabSize);
    const scheduling = readScheduling(body, schedulingOf(access, deps));
    Object.assign(c.get('log'), { model: model.id, inputs: request.inputs.length });
    const { inFlight, metrics } = deps;
    const record = c.get('record') ?? null;
    if (record !== null) {
      record.read({
        ...{ model: model.id, isMixture: model.mixture !== null, stream: false },
        ...{ choices: request.inputs.length, prompt: null },
      });
      deps.requests.begin(record);
    }
    return jsonAnswer(
      c,
      await embeddingAnswer({
        ...{ backend, model, request, scheduling, inFlight, metrics },
        ...{ client: clientOf(c), reserve: reserveFor(c, deps), record },
      }),
    );
  };
}
