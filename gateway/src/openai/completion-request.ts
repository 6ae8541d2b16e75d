import type { Prompt, SamplingParams } from '@polylora/engine';
import {
  arrayValue,
  booleanField,
  integerField,
  integerValue,
  invalidType,
  type JsonObject,
  missing,
  nonEmptyArray,
  unsupported,
} from './fields.ts';
import { MAX_CHOICES, MAX_TOP_LOGPROBS, readChoiceCount, readMaxTokens, readSampling } from './sampling.ts';
import { readStreamOptions } from './stream-options.ts';
import { refuseUnsupportedCompletionFields } from './unsupported.ts';

/** What OpenAI's legacy route generates where the client sets no limit. */
const DEFAULT_MAX_TOKENS = 16;

/** Most texts in one request, as with OpenAI. */
const MAX_PROMPTS = 2048;

/** A completion as a client asked for it, checked. */
export interface CompletionRequest {
  readonly prompts: readonly Prompt[];
  readonly sampling: SamplingParams;
  /** Answers to each prompt. */
  readonly choices: number;
  /** Answers begin with their prompt, and logprobs cover it. */
  readonly echo: boolean;
  readonly stream: boolean;
  readonly includeUsage: boolean;
}

/**
 * @param vocabSize of the model that will answer
 * @throws ApiError with OpenAI's code, message and param for the first field that is wrong
 */
export function readCompletionRequest(body: JsonObject, vocabSize: number): CompletionRequest {
  refuseUnsupportedCompletionFields(body);
  const echo = booleanField(body, 'echo');
  const logprobs = integerField(body, 'logprobs', { min: 0, max: MAX_TOP_LOGPROBS }) ?? null;
  const choices = readChoiceCount(body);
  const bestOf = integerField(body, 'best_of', { min: 1, max: MAX_CHOICES }) ?? choices;
  if (bestOf !== choices)
    throw unsupported('best_of', "is not supported with a value other than that of 'n'");
  return {
    prompts: readPrompts(body.prompt ?? null, vocabSize),
    sampling: {
      ...readSampling(body, vocabSize),
      maxTokens: readMaxTokens(body, 'max_tokens', 0, DEFAULT_MAX_TOKENS),
      logprobs,
      promptLogprobs: echo ? logprobs : null,
    },
    choices,
    echo,
    ...readStreamOptions(body),
  };
}

/** A text, texts, a text's token ids, or several texts' token ids. */
function readPrompts(value: unknown, vocabSize: number): readonly Prompt[] {
  if (value === null) throw missing('prompt');
  const expected = 'one of a string, array of strings, array of integers, or array of integer arrays';
  if (typeof value === 'string') return [{ kind: 'text', text: value }];
  const items = nonEmptyArray(value, 'prompt', expected);
  if (typeof items[0] === 'number') return [readTokens(items, 'prompt', vocabSize)];
  arrayValue(items, 'prompt', expected, MAX_PROMPTS);
  if (typeof items[0] === 'string') {
    return items.map((text, index) => {
      if (typeof text !== 'string') throw invalidType(`prompt[${index}]`, 'a string', text);
      return { kind: 'text', text };
    });
  }
  if (!Array.isArray(items[0])) throw invalidType('prompt', expected, items[0]);
  return items.map((ids, index) => {
    const param = `prompt[${index}]`;
    return readTokens(nonEmptyArray(ids, param, 'an array of integers'), param, vocabSize);
  });
}

function readTokens(values: readonly unknown[], param: string, vocabSize: number): Prompt {
  const range = { min: 0, max: vocabSize - 1 };
  const isToken = (value: unknown): value is number =>
    Number.isInteger(value) && Number(value) >= range.min && Number(value) <= range.max;
  const wrong = values.findIndex((value) => !isToken(value));
  if (wrong >= 0) integerValue(values[wrong], `${param}[${wrong}]`, range);
  return { kind: 'tokens', ids: values.filter(isToken) };
}
