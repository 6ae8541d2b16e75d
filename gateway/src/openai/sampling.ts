import type { SamplingParams } from '@polylora/engine';
import { z } from 'zod';
import { invalidValue, outOfRange } from './fields.ts';
import {
  atMost,
  decimal,
  integer,
  list,
  onlyNeutral,
  optional,
  text,
  unsupportedField,
} from './schema-parts.ts';

export const MAX_CHOICES = 16;
export const MAX_TOP_LOGPROBS = 20;
const MAX_STOP_STRINGS = 16;
const MAX_STOP_LENGTH = 1024;
const MAX_STOP_TOKENS = 1024;
const MAX_LOGIT_BIASES = 1024;
export const MAX_INT32 = 2 ** 31 - 1;
const SEED_BITS = 53;

/** What each route reads in its own way. */
type OwnSampling = Pick<SamplingParams, 'maxTokens' | 'logprobs' | 'promptLogprobs' | 'constraint'>;

const stopString = text(MAX_STOP_LENGTH);
const bias = z.record(z.string().regex(/^\d{1,10}$/, 'its keys must be token ids.'), decimal(-100, 100));
/** Any int64, which JSON's numbers hold only nearly. */
const seed = z
  .number()
  .min(-(2 ** 63))
  .max(2 ** 63)
  .check(({ value, issues }) => {
    if (!Number.isInteger(value)) issues.push({ code: 'invalid_type', expected: 'int', input: value });
  })
  .meta({ type: 'integer' });

export const samplingFields = {
  temperature: optional(decimal(0, 2), 'How evenly tokens are drawn; 0 takes the likeliest.', 1),
  top_p: optional(decimal(0, 1), 'Draw among the likeliest tokens that together have this probability.', 1),
  top_k: optional(
    integer(-1, MAX_INT32),
    'Draw among so many of the likeliest tokens; 0 or -1: among all.',
    0,
  ),
  min_p: optional(decimal(0, 1), "Draw among tokens at least so probable, relative to the likeliest's.", 0),
  presence_penalty: optional(decimal(-2, 2), 'Taken off the logits of tokens that are in the answer.', 0),
  frequency_penalty: optional(decimal(-2, 2), 'The same, for each time a token is in the answer.', 0),
  // Logits are divided by it: far smaller ones leave the range of their numbers.
  repetition_penalty: optional(
    decimal(0.01, 10),
    'Divides the logits of tokens that are in the prompt or the answer.',
    1,
  ),
  logit_bias: optional(atMost(MAX_LOGIT_BIASES, bias), 'Added to the logits of tokens, by token id.'),
  seed: optional(seed, 'The same request with the same seed has the same answer.'),
  n: optional(integer(1, MAX_CHOICES), 'Answers to each prompt. The first is what it is with 1.', 1),
  min_tokens: optional(integer(0, MAX_INT32), 'No end before so many tokens.', 0),
  stop: optional(
    z.union([stopString, list(stopString, 'strings', { max: MAX_STOP_STRINGS })]),
    'Ends the answer before one of these texts.',
  ),
  stop_token_ids: optional(
    list(integer(0, MAX_INT32), 'integers', { max: MAX_STOP_TOKENS }),
    'Ends the answer at one of these tokens.',
  ),
  include_stop_str_in_output: optional(z.boolean(), 'The answer has the text it was ended by.', false),
  ignore_eos: optional(z.boolean(), "Do not end at the model's own end-of-text token.", false),
};

/** vLLM's extensions that both of its completion routes take. */
export const unsupportedSamplingFields = {
  prompt_logprobs: unsupportedField(),
  prompt_embeds: unsupportedField(),
  truncate_prompt_tokens: unsupportedField(),
  bad_words: onlyNeutral(z.array(z.never()).max(0)),
  allowed_token_ids: unsupportedField(),
  logits_processors: onlyNeutral(z.array(z.never()).max(0)),
  skip_special_tokens: onlyNeutral(z.literal(true)),
  use_beam_search: onlyNeutral(z.literal(false)),
};

const samplingShape = z.object(samplingFields);
type SamplingBody = z.output<typeof samplingShape>;

/**
 * What is asked for by the fields that all routes share, and by a route's own.
 *
 * @param vocabSize token ids from here on are refused
 * @throws ApiError for the first field that is wrong
 */
export function samplingOf(body: SamplingBody, vocabSize: number, own: OwnSampling): SamplingParams {
  return {
    maxTokens: own.maxTokens,
    logprobs: own.logprobs,
    promptLogprobs: own.promptLogprobs,
    constraint: own.constraint,
    temperature: body.temperature ?? 1,
    // OpenAI allows 0, the limit of which is to keep the likeliest token alone; samplers need more than 0.
    topP: (body.top_p ?? 1) || 1e-9,
    topK: Math.max(0, body.top_k ?? 0),
    minP: body.min_p ?? 0,
    presencePenalty: body.presence_penalty ?? 0,
    frequencyPenalty: body.frequency_penalty ?? 0,
    repetitionPenalty: body.repetition_penalty ?? 1,
    logitBias: logitBias(body.logit_bias ?? {}, vocabSize),
    seed: seedOf(body.seed ?? null),
    minTokens: body.min_tokens ?? 0,
    stop: typeof body.stop === 'string' ? [body.stop] : (body.stop ?? []),
    stopTokenIds: inVocabulary(body.stop_token_ids ?? [], 'stop_token_ids', vocabSize),
    includeStop: body.include_stop_str_in_output ?? false,
    ignoreEos: body.ignore_eos ?? false,
  };
}

/** @throws ApiError where `min_tokens` is more than a limit on new tokens allows */
export function refuseLargerMinimum(
  max: number | null,
  param: string,
  { min_tokens: least }: SamplingBody,
): void {
  if (max !== null && (least ?? 0) > max) {
    throw invalidValue('min_tokens', `must be at most '${param}' (${max}), but is ${least}.`);
  }
}

/** The sampling of the nth answer to a prompt: the first is what `n: 1` would give, each has its own seed. */
export function forChoice(sampling: SamplingParams, choice: number): SamplingParams {
  if (choice === 0) return sampling;
  return { ...sampling, seed: fold(BigInt(sampling.seed) + BigInt(choice)) };
}

/** @returns the ids themselves @throws ApiError for the first that is no token */
export function inVocabulary(ids: readonly number[], param: string, vocabSize: number): readonly number[] {
  const wrong = ids.findIndex((id) => id >= vocabSize);
  if (wrong >= 0) throw outOfRange('integer', 'above_max', `${param}[${wrong}]`, vocabSize - 1, ids[wrong]);
  return ids;
}

function logitBias(biases: Readonly<Record<string, number>>, vocabSize: number): [number, number][] {
  return Object.entries(biases).map(([key, bias]) => {
    const id = Number(key);
    if (id >= vocabSize) throw outOfRange('integer', 'above_max', `logit_bias.${key}`, vocabSize - 1, id);
    return [id, bias];
  });
}

/** Without a seed each request gets its own; it is no secret. */
function seedOf(value: number | null): number {
  return value === null ? Math.floor(Math.random() * 2 ** SEED_BITS) : fold(BigInt(value));
}

function fold(seed: bigint): number {
  return Number(BigInt.asUintN(SEED_BITS, seed));
}
