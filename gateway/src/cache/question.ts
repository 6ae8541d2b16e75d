import { hash } from 'node:crypto';
import type { Prompt, SamplingParams } from '@polylora/engine';
import type { BackendModel, BackendRequest } from '../backends/backend.ts';

/** Why a request has nothing to do with the cache; it is told to whoever asks. */
export type BypassReason =
  /** It wants what is not kept: logprobs, the prompt's text, answers to several prompts. */
  | 'unsupported'
  /** Its category is not cached. */
  | 'category'
  | 'temperature'
  | 'multi-turn'
  /** Its category is not known, and might be one that is not cached: it has no question, or that was not embedded in time. */
  | 'unclassified';

/** What a request asks, as the cache sees it. */
export interface Question {
  readonly tenant: string;
  /** What computes the answers. */
  readonly server: string;
  readonly model: BackendModel;
  /** Of all that must match exactly. */
  readonly partition: string;
  /** Of the whole request. */
  readonly exactKey: string;
  /** What may be similar; null where nothing may. */
  readonly text: string | null;
  readonly temperature: number;
  readonly isMultiTurn: boolean;
}

export interface QuestionOptions {
  readonly tenant: string;
  /** What computes the answers: another server's name for a model means other weights. */
  readonly server: string;
  readonly model: BackendModel;
  readonly requests: readonly BackendRequest[];
  /** Whether the client chose the seed; its own choice is a part of what it asks. */
  readonly isSeeded: boolean;
}

/**
 * Takes a request apart into what must match exactly and the last user message, which may be similar. null: it cannot be kept.
 *
 * Keys are hashes of JSON arrays that begin with a tag: a JSON text can be read in one way only, so that no choice of names and texts
 * makes two requests' keys equal (lone surrogates are escaped, numbers are finite).
 */
export function questionOf({ tenant, server, model, requests, isSeeded }: QuestionOptions): Question | null {
  const [first] = requests;
  if (first === undefined || !requests.every((request) => isKept(request, first))) return null;
  const { prompt, sampling, scheduling } = first;
  const { text, rest } = partsOf(prompt);
  const identity = [
    'partition',
    tenant,
    scheduling.cacheSalt,
    server,
    [model.root, model.fingerprint, model.mixture],
    rest,
    samplingClass(sampling, isSeeded),
    requests.length,
  ];
  const partition = digest(identity);
  return {
    tenant,
    server,
    model,
    partition,
    exactKey: digest(['request', partition, normalized(text)]),
    text,
    temperature: sampling.temperature,
    isMultiTurn: prompt.kind === 'chat' && prompt.messages.some(isEarlierTurn(prompt.messages.length - 1)),
  };
}

/** One prompt, and an answer that is nothing but what the model says. */
function isKept({ prompt, sampling, echo }: BackendRequest, first: BackendRequest): boolean {
  return prompt === first.prompt && sampling.logprobs === null && sampling.promptLogprobs === null && !echo;
}

/** The last user message, and all the rest of a prompt. */
function partsOf(prompt: Prompt): { readonly text: string | null; readonly rest: unknown } {
  switch (prompt.kind) {
    case 'text':
      return { text: prompt.text, rest: ['text', prompt.specialTokens ?? true] };
    case 'tokens':
      return { text: null, rest: ['tokens', prompt.ids] };
    case 'chat': {
      const { messages, tools = null } = prompt;
      const last = messages.at(-1);
      // An answer to a tool's result is about the result.
      if (last?.role !== 'user') return { text: null, rest: ['chat', messages, tools] };
      return { text: last.content, rest: ['chat', messages.slice(0, -1), last.name ?? null, tools, 'user'] };
    }
  }
}

function isEarlierTurn(last: number) {
  return ({ role }: { readonly role: string }, index: number) =>
    index < last && role !== 'system' && role !== 'developer';
}

/** All that the sampler is told, but a seed that nobody chose. */
function samplingClass(sampling: SamplingParams, isSeeded: boolean): unknown {
  return Object.entries({ ...sampling, seed: isSeeded ? sampling.seed : null }).sort(([a], [b]) =>
    a < b ? -1 : 1,
  );
}

/** What makes no difference to anybody: how characters are composed, how lines end, space around all. */
function normalized(text: string | null): string | null {
  return text?.normalize('NFC').replaceAll('\r\n', '\n').trim() ?? null;
}

function digest(value: unknown): string {
  return hash('sha256', JSON.stringify(value), 'base64url');
}
