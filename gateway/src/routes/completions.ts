import type { Context } from 'hono';
import { startGeneration } from '../generation.ts';
import type { GatewayEnv } from '../http/context.ts';
import { readJsonBody } from '../http/json-body.ts';
import { tenantOf } from '../http/tenant.ts';
import { readCompletionRequest } from '../openai/completion-request.ts';
import { textCompletion, textCompletionChunks } from '../openai/completion-response.ts';
import { forChoice } from '../openai/sampling.ts';
import { readScheduling } from '../openai/scheduling.ts';
import { answer, answerHead } from './answer.ts';
import type { GatewayDeps } from './deps.ts';
import { requestedModel } from './model.ts';

/** `POST /v1/completions` */
export function completionsRoute(deps: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const body = await readJsonBody(c.req.raw, deps.requestBodyLimitBytes);
    const backend = deps.backend();
    const model = requestedModel(backend, body);
    const request = readCompletionRequest(body, model.vocabSize);
    const { prompts, sampling, choices, echo, stream } = request;
    Object.assign(c.get('log'), { model: model.id, stream, choices: prompts.length * choices });

    const tenant = tenantOf(c.req.header('authorization'));
    const scheduling = readScheduling(body, { tenant, allowPriority: deps.allowPriority });
    Object.assign(c.get('log'), { tenant });

    const head = answerHead('cmpl', model);
    const generation = await startGeneration({
      backend,
      model,
      requests: prompts.flatMap((prompt, index) =>
        Array.from({ length: choices }, (_, choice) => ({
          id: `${head.id}-${index}-${choice}`,
          prompt,
          sampling: forChoice(sampling, choice),
          scheduling,
          echo,
        })),
      ),
      inFlight: deps.inFlight,
      metrics: deps.metrics,
      client: c.req.raw.signal,
      promptParam: 'prompt',
    });
    const options = {
      head,
      prompts: prompts.length,
      choicesPerPrompt: choices,
      logprobs: sampling.logprobs !== null,
    };
    return answer(c, deps.logger, generation, {
      whole: (events) => textCompletion(events, options),
      chunks: stream
        ? (events) => textCompletionChunks(events, { ...options, includeUsage: request.includeUsage })
        : null,
    });
  };
}
