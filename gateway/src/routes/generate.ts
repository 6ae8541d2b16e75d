import type { Context } from 'hono';
import type { BackendModel } from '../backends/backend.ts';
import { generateWhole, startGeneration } from '../generation.ts';
import type { GatewayEnv } from '../http/context.ts';
import { readJsonBody } from '../http/json-body.ts';
import type { Job } from '../jobs/job.ts';
import { requestedModel } from '../jobs/model.ts';
import type { JsonObject } from '../openai/fields.ts';
import type { SchedulingOptions } from '../openai/scheduling.ts';
import { answerStream } from './answer.ts';
import type { GatewayDeps } from './deps.ts';

/** A route that generates text: `read` makes the job of a body. */
export function generateRoute(
  deps: GatewayDeps,
  read: (body: JsonObject, model: BackendModel, options: SchedulingOptions) => Job,
) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const body = await readJsonBody(c.req.raw, deps.requestBodyLimitBytes);
    const backend = deps.backend();
    const principal = c.get('access').principal;
    const { tenant } = principal;
    const model = await requestedModel(backend, body, principal);
    const job = read(body, model, { tenant, allowPriority: deps.allowPriority });
    const { requests, promptParam } = job;
    const logged = { model: model.id, stream: job.chunks !== null, choices: requests.length };
    Object.assign(c.get('log'), logged);
    const generation = {
      backend,
      model,
      tenant,
      requests,
      inFlight: deps.inFlight,
      metrics: deps.metrics,
      client: c.req.raw.signal,
      promptParam,
    };
    if (job.chunks === null) return c.json(job.whole(await generateWhole(generation)));
    return answerStream(c, deps.logger, await startGeneration(generation), job.chunks);
  };
}
