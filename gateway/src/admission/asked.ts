import type { Prompt } from '@polylora/engine';
import type { BackendModel, BackendRequest } from '../backends/backend.ts';

/** What a template puts around a message, and around all of them, at most. */
const AROUND_MESSAGE = 16;
const AROUND_ALL = 128;
/** Where only the server behind the backend knows how long an answer may become. */
const UNKNOWN_LENGTH = 8_192;

/** What a request may use at most. */
export interface Asked {
  readonly model: BackendModel;
  /** All prompts together, each once. */
  readonly promptTokens: number;
  /** All answers together. */
  readonly completionTokens: number;
}

/** What was used. */
export interface Used {
  readonly promptTokens: number;
  readonly cachedPromptTokens: number;
  readonly completionTokens: number;
}

/** The most that requests to a model can use, before anything of them is tokenized. */
export function askedOf(model: BackendModel, requests: readonly BackendRequest[]): Asked {
  const longest = model.maxModelLen ?? UNKNOWN_LENGTH;
  const prompts = new Set<Prompt>();
  let [promptTokens, completionTokens] = [0, 0];
  for (const { prompt, sampling } of requests) {
    if (!prompts.has(prompt)) {
      prompts.add(prompt);
      const most = mostTokens(prompt);
      promptTokens += model.maxModelLen === null ? most : Math.min(most, longest);
    }
    // An upstream whose limit is not known is sent what the client asks for, however much that is.
    completionTokens +=
      model.maxModelLen === null
        ? (sampling.maxTokens ?? longest)
        : Math.min(sampling.maxTokens ?? longest, longest);
  }
  return { model, promptTokens, completionTokens };
}

/** The most that making vectors of texts can use. */
export function askedOfInputs(model: BackendModel, inputs: readonly Prompt[]): Asked {
  const longest = model.maxModelLen ?? Number.POSITIVE_INFINITY;
  const promptTokens = inputs.reduce((sum, input) => sum + Math.min(mostTokens(input), longest), 0);
  return { model, promptTokens, completionTokens: 0 };
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
