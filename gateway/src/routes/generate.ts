import type { Context } from 'hono';
import type { BackendModel } from '../backends/backend.ts';
import { generateWhole, startGeneration } from '../generation.ts';
import { clientOf } from '../http/client.ts';
import { type GatewayEnv, jsonAnswer } from '../http/context.ts';
import { readJsonBody } from '../http/json-body.ts';
import type { Job } from '../jobs/job.ts';
import { requestedModel } from '../jobs/model.ts';
import type { JsonObject } from '../openai/fields.ts';
import type { SchedulingOptions } from '../openai/scheduling.ts';
import { answerStream } from './answer.ts';
import type { GatewayDeps } from './deps.ts';
import { reserveFor } from './reserve.ts';
import { schedulingOf } from './scheduling.ts';

/** A route that generates text: `read` makes the job of a body. */
export function generateRoute(
  deps: GatewayDeps,
  read: (body: JsonObject, model: BackendModel, options: SchedulingOptions) => Job | Promise<Job>,
) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const body = await readJsonBody(c, deps.requestBodyLimitBytes);
    const backend = deps.backend();
    const access = c.get('access');
    const { principal } = access;
    const model = await requestedModel(backend, body, principal);
    const job = await read(body, model, schedulingOf(access, deps));
    const { requests, promptParam, userHash } = job;
    const logged = { model: model.id, stream: job.chunks !== null, choices: requests.length };
    Object.assign(c.get('log'), logged, userHash === null ? {} : { user: userHash });
    if (deps.logPrompts) c.get('log').prompts = [...new Set(requests.map(({ prompt }) => prompt))];
    const generation = {
      backend,
      model,
      reserve: reserveFor(c, deps),
      requests,
      inFlight: deps.inFlight,
      metrics: deps.metrics,
      client: clientOf(c),
      promptParam,
    };
    const { chunks, events } = job;
    if (chunks === null) return jsonAnswer(c, await job.whole(await generateWhole(generation)));
    const options = events === undefined ? { chunks } : { chunks, events };
    return answerStream(c, deps.logger, await startGeneration(generation), options);
  };
}
