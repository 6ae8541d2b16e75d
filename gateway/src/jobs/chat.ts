import type { BackendModel } from '../backends/backend.ts';
import { readChatRequest } from '../openai/chat-request.ts';
import { chatCompletion, chatCompletionChunks } from '../openai/chat-response.ts';
import type { JsonObject } from '../openai/fields.ts';
import { forChoice } from '../openai/sampling.ts';
import { answeredTier, readScheduling, type SchedulingOptions } from '../openai/scheduling.ts';
import { answerHead, type Job } from './job.ts';

/** The body of a chat completion. @throws ApiError for the first field that is wrong */
export function chatJob(body: JsonObject, model: BackendModel, options: SchedulingOptions): Job {
  const request = readChatRequest(body, model.vocabSize);
  const { prompt, sampling, choices, stream, includeUsage, userHash, account } = request;
  const scheduling = readScheduling(body, options);
  const head = answerHead('chatcmpl', model, answeredTier(body, scheduling));
  const shape = { head, choices, logprobs: sampling.logprobs !== null };
  return {
    requests: Array.from({ length: choices }, (_, choice) => ({
      id: `${head.id}-${choice}`,
      prompt,
      sampling: forChoice(sampling, choice),
      scheduling,
      echo: false,
      account,
    })),
    choices,
    promptParam: 'messages',
    userHash,
    whole: (events) => chatCompletion(events, shape),
    chunks: stream ? (events) => chatCompletionChunks(events, { ...shape, includeUsage }) : null,
  };
}
