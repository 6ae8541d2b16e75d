import type { Context } from 'hono';
import { isStillWelcome } from '../access/still-welcome.ts';
import type { BackendModel } from '../backends/backend.ts';
import type { CachedRoute } from '../cache/controls.ts';
import { type ChoiceEvent, type Generation, generateWhole, startGeneration } from '../generation.ts';
import { clientOf } from '../http/client.ts';
import { addHeaders, type GatewayEnv, jsonAnswer } from '../http/context.ts';
import { readJsonBody } from '../http/json-body.ts';
import type { Job } from '../jobs/job.ts';
import { requestedModel } from '../jobs/model.ts';
import type { JsonObject } from '../openai/fields.ts';
import type { SchedulingOptions } from '../openai/scheduling.ts';
import { promptText } from '../requests/prompt-text.ts';
import { answerStream } from './answer.ts';
import type { GatewayDeps } from './deps.ts';
import { reserveFor } from './reserve.ts';
import { schedulingOf } from './scheduling.ts';

/** A route that generates text: `read` makes the job of a body. */
export function generateRoute(
  deps: GatewayDeps,
  route: CachedRoute,
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
    const prompts = deps.logPrompts ? [...new Set(requests.map(({ prompt }) => prompt))] : null;
    if (prompts !== null) c.get('log').prompts = prompts;
    const record = c.get('record');
    if (record !== undefined) {
      record.read({
        ...{ ...logged, model: model.id, isMixture: model.mixture !== null },
        prompt: prompts === null ? null : promptText(prompts),
      });
      const [first] = requests;
      if (first !== undefined) {
        const { choices } = job;
        record.trace?.ask({ sampling: first.sampling, isSeeded: body.seed != null, choices });
      }
      deps.requests.begin(record);
    }
    const generation = {
      backend,
      model,
      reserve: reserveFor(c, deps),
      requests,
      inFlight: deps.inFlight,
      metrics: deps.metrics,
      live: deps.live.meter,
      client: clientOf(c),
      promptParam,
      record: record ?? null,
    };
    const { chunks, events } = job;
    const cache = deps.cache();
    const streamed = (answer: Generation, write: NonNullable<typeof chunks>) =>
      answerStream(c, deps, answer, { chunks: write, ...(events === undefined ? {} : { events }) });
    if (cache === null) {
      if (chunks === null) return jsonAnswer(c, await job.whole(await generateWhole(generation)));
      return streamed(await startGeneration(generation), chunks);
    }
    const answer = await cache.answer({
      generation,
      controls: cache.controls(body, model, route, (name) => c.req.header(name)),
      isSeeded: body.seed != null,
      isStreamed: chunks !== null,
      requestId: c.get('requestId'),
      isStillWelcome: () => isStillWelcome(access, deps.tenants()?.registry),
    });
    c.get('log').cache = answer.origin;
    record?.origin(answer.origin);
    addHeaders(c, answer.headers);
    if (chunks === null) return jsonAnswer(c, await job.whole(await wholeOf(answer.generation)));
    return streamed(answer.generation, chunks);
  };
}

async function wholeOf({ events, close }: Generation): Promise<readonly ChoiceEvent[]> {
  const read: ChoiceEvent[] = [];
  try {
    for await (const event of events) read.push(event);
  } finally {
    close();
  }
  return read;
}
