import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ChatMessage } from '@polylora/engine';
import { FIXTURES } from '../support/engine.ts';

/** What float32 transformers and PEFT say about a tiny model; see test/fixtures/README.md. */
export interface Expected {
  readonly texts: readonly { readonly text: string; readonly ids: readonly number[] }[];
  /** `ids` null: the chat template refuses the messages. */
  readonly chats: readonly {
    readonly messages: readonly ChatMessage[];
    readonly ids: readonly number[] | null;
  }[];
  readonly cases: readonly ExpectedCase[];
}

export interface ExpectedCase {
  /** The adapter's directory beside the model, or null for the base model. */
  readonly adapter: string | null;
  readonly prompt: readonly number[];
  /** Of each prompt token but the first. */
  readonly prompt_logprobs: readonly number[];
  /** The best next tokens at each prompt position; the last row predicts the first new token. */
  readonly top: readonly (readonly (readonly [id: number, logprob: number])[])[];
  readonly greedy_ids: readonly number[];
  readonly greedy_logprobs: readonly number[];
  /** Prompt and greedy logprobs with keys and values in f16, as the page pool keeps them. */
  readonly f16_kv_logprobs: readonly number[];
}

/** Expected results of a model, given by its path under `test/fixtures/models`. */
export function readExpected(model: string): Expected {
  const file = model.endsWith('.gguf')
    ? model.replace(/\.gguf$/, '.expected.json')
    : join(model, 'expected.json');
  return JSON.parse(readFileSync(join(FIXTURES, 'models', file), 'utf8')) as Expected;
}

/** Expected results of the adapters of every type on a model. */
export function readExpectedTypes(model: string): readonly ExpectedCase[] {
  const text = readFileSync(join(FIXTURES, 'models', model, 'adapter-types.json'), 'utf8');
  return (JSON.parse(text) as { cases: ExpectedCase[] }).cases;
}

/** Mean and largest distance of two series of equal length. */
export function distance(
  actual: readonly number[],
  expected: readonly number[],
): { mean: number; max: number } {
  if (actual.length !== expected.length || actual.length === 0) {
    throw new Error(`${actual.length} numbers to compare with ${expected.length}`);
  }
  const errors = actual.map((value, index) => Math.abs(value - expected[index]!));
  // Math.max gives NaN where any number is NaN.
  const max = Math.max(...errors);
  return { mean: errors.reduce((sum, error) => sum + error, 0) / errors.length, max };
}
