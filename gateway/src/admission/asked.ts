import type { Prompt, SamplingParams } from '@polylora/engine';
import type { BackendModel, BackendRequest } from '../backends/backend.ts';
import type { PromptCounter } from '../prompt-counter.ts';

/** What a template puts around a message, and around all of them, at most. */
const AROUND_MESSAGE = 16;
const AROUND_ALL = 128;
/** Where only the server behind the backend knows how long an answer may become. */
const UNKNOWN_LENGTH = 8_192;

/** Of usual text four, of long runs of spaces more: no prompt of which a token has more on average is counted. */
const MOST_BYTES_OF_TOKEN = 16;

/** What a request may use at most. */
export interface Asked {
  readonly model: BackendModel;
  /** All prompts together, each once. */
  readonly promptTokens: number;
  /** All answers together. */
  readonly completionTokens: number;
  /** How to know better, where a prompt's bytes alone would refuse it for good; null where nobody here can. */
  readonly counting: Counting | null;
}

/** Prompts that can be counted: what that takes is bounded, because none is that would not fit at its least. */
export interface Counting {
  /** Tokens that the prompts have, as far as can be told without. */
  readonly leastPromptTokens: number;
  /** @throws ApiError where one cannot be a prompt */
  count(): Promise<Asked>;
}

/** What was used. */
export interface Used {
  readonly promptTokens: number;
  readonly cachedPromptTokens: number;
  readonly completionTokens: number;
}

/**
 * The most that requests to a model can use, before anything of them is tokenized.
 * @param counter null: nobody here knows the model's tokens
 */
export function askedOf(
  model: BackendModel,
  requests: readonly BackendRequest[],
  counter: PromptCounter | null = null,
): Asked {
  const completionTokens = requests.reduce((sum, { sampling }) => sum + longestAnswer(model, sampling), 0);
  return askedFor(model, [...new Set(requests.map(({ prompt }) => prompt))], completionTokens, counter);
}

/**
 * The requests as they may be sent where what was held for them counts: an upstream that does not tell its models' length would answer
 * beyond what is held where no end is given.
 */
export function withinHold(
  model: BackendModel,
  requests: readonly BackendRequest[],
): readonly BackendRequest[] {
  if (model.maxModelLen !== null) return requests;
  return requests.map((request) => {
    const { sampling } = request;
    return { ...request, sampling: { ...sampling, maxTokens: longestAnswer(model, sampling) } };
  });
}

function longestAnswer({ maxModelLen }: BackendModel, { maxTokens }: SamplingParams): number {
  // An upstream whose limit is not known is sent what the client asks for, however much that is.
  if (maxModelLen === null) return maxTokens ?? UNKNOWN_LENGTH;
  return Math.min(maxTokens ?? maxModelLen, maxModelLen);
}

/** The most that making vectors of texts can use. */
export function askedOfInputs(
  model: BackendModel,
  inputs: readonly Prompt[],
  counter: PromptCounter | null = null,
): Asked {
  return askedFor(model, inputs, 0, counter);
}

function askedFor(
  model: BackendModel,
  prompts: readonly Prompt[],
  completionTokens: number,
  counter: PromptCounter | null,
): Asked {
  const longest = model.maxModelLen ?? Number.POSITIVE_INFINITY;
  let [promptTokens, leastPromptTokens] = [0, 0];
  for (const prompt of prompts) {
    const most = mostTokens(prompt);
    promptTokens += Math.min(most, longest);
    leastPromptTokens += prompt.kind === 'tokens' ? most : most / MOST_BYTES_OF_TOKEN;
  }
  if (counter === null || leastPromptTokens === promptTokens)
    return { model, promptTokens, completionTokens, counting: null };
  const count = async () => {
    let counted = 0;
    for (const prompt of prompts) counted += Math.min(await counter(prompt), longest);
    return { model, promptTokens: counted, completionTokens, counting: null };
  };
  return { model, promptTokens, completionTokens, counting: { leastPromptTokens, count } };
}

/** A token is at least a byte of its text. */
function mostTokens(prompt: Prompt): number {
  switch (prompt.kind) {
    case 'tokens':
      return prompt.ids.length;
    case 'text':
      return Buffer.byteLength(prompt.text) + AROUND_MESSAGE;
    case 'chat': {
      const { kind: _, messages, ...rest } = prompt;
      let tokens = AROUND_ALL;
      for (const message of messages) tokens += AROUND_MESSAGE + bytesOf(message);
      return tokens + bytesOf(rest);
    }
  }
}

/** Bytes of all that a prompt says: texts as they are, and what is more than text as JSON. */
function bytesOf(value: object): number {
  let bytes = 0;
  for (const part of Object.values(value)) {
    if (typeof part === 'string') bytes += Buffer.byteLength(part);
    else if (part !== null && part !== undefined) bytes += Buffer.byteLength(JSON.stringify(part));
  }
  return bytes;
}
