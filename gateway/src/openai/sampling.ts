import { randomBytes } from 'node:crypto';
import type { SamplingParams } from '@polylora/engine';
import { ApiError } from '../errors.ts';
import {
  arrayValue,
  booleanField,
  integerField,
  integerValue,
  invalidValue,
  type JsonObject,
  numberField,
  numberValue,
  objectValue,
  textValue,
} from './fields.ts';

export const MAX_CHOICES = 16;
export const MAX_TOP_LOGPROBS = 20;
const MAX_STOP_STRINGS = 16;
const MAX_STOP_LENGTH = 1024;
const MAX_STOP_TOKENS = 1024;
const MAX_LOGIT_BIASES = 1024;
const MAX_INT32 = 2 ** 31 - 1;
const SEED_BITS = 53;

/** The sampling fields that both completion routes share; each route adds its own. */
export type CommonSampling = Omit<SamplingParams, 'maxTokens' | 'logprobs' | 'promptLogprobs'>;

/**
 * @param vocabSize token ids from here on are refused
 * @throws ApiError for the first field that is wrong
 */
export function readSampling(body: JsonObject, vocabSize: number): CommonSampling {
  const token = { min: 0, max: vocabSize - 1 };
  return {
    temperature: numberField(body, 'temperature', { min: 0, max: 2 }) ?? 1,
    topP: readTopP(body),
    topK: Math.max(0, integerField(body, 'top_k', { min: -1, max: MAX_INT32 }) ?? 0),
    minP: numberField(body, 'min_p', { min: 0, max: 1 }) ?? 0,
    presencePenalty: numberField(body, 'presence_penalty', { min: -2, max: 2 }) ?? 0,
    frequencyPenalty: numberField(body, 'frequency_penalty', { min: -2, max: 2 }) ?? 0,
    repetitionPenalty: readRepetitionPenalty(body),
    logitBias: readLogitBias(body.logit_bias ?? {}, token),
    seed: readSeed(body.seed ?? null),
    minTokens: integerField(body, 'min_tokens', { min: 0, max: MAX_INT32 }) ?? 0,
    stop: readStop(body.stop ?? []),
    stopTokenIds: arrayValue(
      body.stop_token_ids ?? [],
      'stop_token_ids',
      'an array of integers',
      MAX_STOP_TOKENS,
    ).map((id, index) => integerValue(id, `stop_token_ids[${index}]`, token)),
    includeStop: booleanField(body, 'include_stop_str_in_output'),
    ignoreEos: booleanField(body, 'ignore_eos'),
  };
}

/** How many answers to each prompt. */
export function readChoiceCount(body: JsonObject): number {
  return integerField(body, 'n', { min: 1, max: MAX_CHOICES }) ?? 1;
}

/** A limit on new tokens, or `preset` where there is none, and that `min_tokens` keeps it. */
export function readMaxTokens<Preset extends number | null>(
  body: JsonObject,
  param: string,
  min: number,
  preset: Preset,
): number | Preset {
  const max: number | Preset = integerField(body, param, { min, max: MAX_INT32 }) ?? preset;
  const least = integerField(body, 'min_tokens', { min: 0, max: MAX_INT32 }) ?? 0;
  if (typeof max === 'number' && least > max) {
    throw invalidValue('min_tokens', `must be at most '${param}' (${max}), but is ${least}.`);
  }
  return max;
}

/** The sampling of the nth answer to a prompt: the first is what `n: 1` would give, each has its own seed. */
export function forChoice(sampling: SamplingParams, choice: number): SamplingParams {
  return { ...sampling, seed: fold(BigInt(sampling.seed) + BigInt(choice)) };
}

/** OpenAI allows 0, the limit of which is to keep the likeliest token alone; samplers need more than 0. */
function readTopP(body: JsonObject): number {
  const topP = numberField(body, 'top_p', { min: 0, max: 1 }) ?? 1;
  return topP === 0 ? 1e-9 : topP;
}

function readRepetitionPenalty(body: JsonObject): number {
  // Logits are divided by it: far smaller ones leave the range of their numbers.
  return numberField(body, 'repetition_penalty', { min: 0.01, max: 10 }) ?? 1;
}

function readLogitBias(
  value: unknown,
  token: { min: number; max: number },
): readonly (readonly [number, number])[] {
  const biases = objectValue(value, 'logit_bias');
  const keys = Object.keys(biases);
  if (keys.length > MAX_LOGIT_BIASES) {
    throw new ApiError(
      'object_above_max_properties',
      `Invalid 'logit_bias': too many properties. Expected an object with at most ${MAX_LOGIT_BIASES} properties, but got ${keys.length} instead.`,
      'logit_bias',
    );
  }
  return keys.map((key) => {
    if (!/^\d{1,10}$/.test(key)) throw invalidValue('logit_bias', 'its keys must be token ids.');
    const id = integerValue(Number(key), `logit_bias.${key}`, token);
    return [id, numberValue(biases[key], `logit_bias.${key}`, { min: -100, max: 100 })];
  });
}

/** Any int64 names a seed; without one each request gets its own. */
function readSeed(value: unknown): number {
  if (value === null) return fold(randomBytes(8).readBigUInt64LE());
  return fold(BigInt(integerValue(value, 'seed', { min: -(2 ** 63), max: 2 ** 63 })));
}

function fold(seed: bigint): number {
  return Number(BigInt.asUintN(SEED_BITS, seed));
}

function readStop(value: unknown): readonly string[] {
  if (typeof value === 'string') return [textValue(value, 'stop', MAX_STOP_LENGTH)];
  return arrayValue(value, 'stop', 'one of a string or an array of strings', MAX_STOP_STRINGS).map(
    (stop, index) => textValue(stop, `stop[${index}]`, MAX_STOP_LENGTH),
  );
}
