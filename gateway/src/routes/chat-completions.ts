import type { Context } from 'hono';
import { startGeneration } from '../generation.ts';
import type { GatewayEnv } from '../http/context.ts';
import { readJsonBody } from '../http/json-body.ts';
import { tenantOf } from '../http/tenant.ts';
import { readChatRequest } from '../openai/chat-request.ts';
import { chatCompletion, chatCompletionChunks } from '../openai/chat-response.ts';
import { forChoice } from '../openai/sampling.ts';
import { readScheduling } from '../openai/scheduling.ts';
import { answer, answerHead } from './answer.ts';
import type { GatewayDeps } from './deps.ts';
import { requestedModel } from './model.ts';

/** `POST /v1/chat/completions` */
export function chatCompletionsRoute(deps: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const body = await readJsonBody(c.req.raw, deps.requestBodyLimitBytes);
    const backend = deps.backend();
    const model = requestedModel(backend, body);
    const request = readChatRequest(body, model.vocabSize);
    const { prompt, sampling, choices, stream } = request;
    Object.assign(c.get('log'), { model: model.id, stream, choices });

    const tenant = tenantOf(c.req.header('authorization'));
    const scheduling = readScheduling(body, { tenant, allowPriority: deps.allowPriority });
    Object.assign(c.get('log'), { tenant });

    const head = answerHead('chatcmpl', model);
    const generation = await startGeneration({
      backend,
      model,
      requests: Array.from({ length: choices }, (_, choice) => ({
        id: `${head.id}-${choice}`,
        prompt,
        sampling: forChoice(sampling, choice),
        scheduling,
        echo: false,
      })),
      inFlight: deps.inFlight,
      metrics: deps.metrics,
      client: c.req.raw.signal,
      promptParam: 'messages',
    });
    const options = { head, choices, logprobs: sampling.logprobs !== null };
    return answer(c, deps.logger, generation, {
      whole: (events) => chatCompletion(events, options),
      chunks: stream
        ? (events) => chatCompletionChunks(events, { ...options, includeUsage: request.includeUsage })
        : null,
    });
  };
}
