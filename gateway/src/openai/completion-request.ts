import type { Prompt, SamplingParams } from '@polylora/engine';
import { z } from 'zod';
import type { Account } from '../backends/backend.ts';
import { accountFields, accountOf, userHash } from './account-fields.ts';
import { invalidValue, type JsonObject } from './fields.ts';
import { parse } from './parse.ts';
import {
  inVocabulary,
  MAX_CHOICES,
  MAX_INT32,
  MAX_TOP_LOGPROBS,
  refuseLargerMinimum,
  samplingFields,
  samplingOf,
  unsupportedSamplingFields,
} from './sampling.ts';
import { expecting, integer, list, onlyNeutral, optional } from './schema-parts.ts';
import { streamFields, streamOptionsOf } from './stream-options.ts';
import { constraintOf, structuredOutputFields } from './structured-output.ts';

/** What OpenAI's legacy route generates where the client sets no limit. */
const DEFAULT_MAX_TOKENS = 16;

/** Most texts in one request, as with OpenAI. */
const SEVERAL = { min: 1, max: 2048 };

/** Longer than the context of any model that is served; how long it may be is looked at later. */
const MAX_PROMPT_TOKENS = 2 ** 18;

const tokenIds = list(integer(0, MAX_INT32), 'integers', { min: 1, max: MAX_PROMPT_TOKENS });

/** A text, texts, a text's token ids, or several texts' token ids. */
const prompt = expecting(
  z.union([
    z.string(),
    tokenIds,
    list(z.string(), 'strings', SEVERAL),
    list(tokenIds, 'arrays of integers', SEVERAL),
  ]),
  'one of a string, array of strings, array of integers, or array of integer arrays',
);

/** What a completion's body has beside the model. */
export const completionFields = {
  suffix: onlyNeutral(z.literal('')),
  add_special_tokens: onlyNeutral(z.literal(true)),
  ...unsupportedSamplingFields,
  ...structuredOutputFields,
  prompt: prompt.meta({ description: 'A text, or its token ids, or several of either.' }),
  echo: optional(z.boolean(), 'The answer begins with its prompt, and logprobs cover it.', false),
  logprobs: optional(
    integer(0, MAX_TOP_LOGPROBS),
    'Tell how likely each token was, and so many of the likeliest.',
  ),
  best_of: optional(
    integer(1, MAX_CHOICES),
    'Make so many answers and give the `n` likeliest. Not in a stream.',
  ),
  ...samplingFields,
  max_tokens: optional(integer(0, MAX_INT32), 'Most tokens of each answer.', DEFAULT_MAX_TOKENS),
  ...streamFields,
  ...accountFields,
};

const completionBody = z.compile(z.object(completionFields));

/** A completion as a client asked for it, checked. */
export interface CompletionRequest {
  readonly prompts: readonly Prompt[];
  readonly sampling: SamplingParams;
  /** Answers to each prompt. */
  readonly choices: number;
  /** Answers that are made to each prompt, the likeliest of which are given. */
  readonly candidates: number;
  /** Answers begin with their prompt, and logprobs cover it. */
  readonly echo: boolean;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** null where the client names none. */
  readonly userHash: string | null;
  /** null where it names nothing of it. */
  readonly account: Account | null;
}

/**
 * @param vocabSize of the model that will answer
 * @throws ApiError with OpenAI's code, message and param for the first field that is wrong
 */
export function readCompletionRequest(json: JsonObject, vocabSize: number): CompletionRequest {
  const body = parse(completionBody, json);
  const { logprobs = null, echo } = body;
  const choices = body.n ?? 1;
  const candidates = body.best_of ?? choices;
  if (candidates < choices)
    throw invalidValue('best_of', `must be at least 'n' (${choices}), but is ${candidates}.`);
  if (candidates > choices && body.stream)
    throw invalidValue('best_of', "must be 'n' in a stream: the best is known in the end.");
  const maxTokens = body.max_tokens ?? DEFAULT_MAX_TOKENS;
  refuseLargerMinimum(maxTokens, 'max_tokens', body);
  return {
    prompts: promptsOf(body.prompt, vocabSize),
    sampling: samplingOf(body, vocabSize, {
      maxTokens,
      logprobs,
      promptLogprobs: echo ? logprobs : null,
      constraint: constraintOf(body),
    }),
    choices,
    candidates,
    echo: echo ?? false,
    ...streamOptionsOf(body),
    userHash: userHash(body),
    account: accountOf(body),
  };
}

function promptsOf(value: z.output<typeof prompt>, vocabSize: number): readonly Prompt[] {
  if (typeof value === 'string') return [{ kind: 'text', text: value }];
  if (isTokenIds(value)) return [tokens(value, 'prompt', vocabSize)];
  return value.map((each, index) =>
    typeof each === 'string' ? { kind: 'text', text: each } : tokens(each, `prompt[${index}]`, vocabSize),
  );
}

function isTokenIds(value: string[] | number[] | number[][]): value is number[] {
  return typeof value[0] === 'number';
}

function tokens(ids: readonly number[], param: string, vocabSize: number): Prompt {
  return { kind: 'tokens', ids: inVocabulary(ids, param, vocabSize) };
}
