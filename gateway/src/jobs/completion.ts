import type { BackendModel } from '../backends/backend.ts';
import { readCompletionRequest } from '../openai/completion-request.ts';
import { textCompletion, textCompletionChunks } from '../openai/completion-response.ts';
import type { JsonObject } from '../openai/fields.ts';
import { forChoice } from '../openai/sampling.ts';
import { answeredTier, readScheduling, type SchedulingOptions } from '../openai/scheduling.ts';
import { answerHead, type Job } from './job.ts';

/** The body of a legacy completion. @throws ApiError for the first field that is wrong */
export function completionJob(body: JsonObject, model: BackendModel, options: SchedulingOptions): Job {
  const request = readCompletionRequest(body, model.vocabSize);
  const { prompts, sampling, choices, candidates, echo, stream, includeUsage, account } = request;
  const scheduling = readScheduling(body, options);
  const head = answerHead('cmpl', model, answeredTier(body, scheduling));
  const shape = {
    head,
    prompts: prompts.length,
    choicesPerPrompt: choices,
    candidatesPerPrompt: candidates,
    logprobs: sampling.logprobs !== null,
  };
  // Which is the best is told by their logprobs.
  const made = candidates > choices ? { ...sampling, logprobs: sampling.logprobs ?? 0 } : sampling;
  return {
    requests: prompts.flatMap((prompt, index) =>
      Array.from({ length: candidates }, (_, choice) => ({
        id: `${head.id}-${index}-${choice}`,
        prompt,
        sampling: forChoice(made, choice),
        scheduling,
        echo,
        account,
      })),
    ),
    choices,
    promptParam: 'prompt',
    userHash: request.userHash,
    whole: (events) => textCompletion(events, shape),
    chunks: stream ? (events) => textCompletionChunks(events, { ...shape, includeUsage }) : null,
  };
}
