import { hash } from 'node:crypto';
import type { ChatMessage, Prompt, SamplingParams } from '@polylora/engine';
import type { BackendModel, BackendRequest } from '../backends/backend.ts';

/** Why a request has nothing to do with the cache; it is told to whoever asks. */
export type BypassReason =
  /** It wants what is not kept: logprobs, the prompt's text, answers to several prompts. */
  | 'unsupported'
  /** It wants nothing that is kept, and nothing kept. */
  | 'no-store'
  /** Its category is not cached. */
  | 'category'
  | 'temperature'
  | 'multi-turn'
  /** Its category is not known, and might be one that is not cached: it has no question, or that was not embedded in time. */
  | 'unclassified';

/** What a request asks, as the cache sees it. */
export interface Question {
  readonly tenant: string;
  /** The tenant's share of the backend, and what keeps its prefixes apart. */
  readonly weight: number;
  readonly cacheSalt: string | null;
  /** What computes the answers. */
  readonly server: string;
  readonly model: BackendModel;
  /** Of all that must match exactly. */
  readonly partition: string;
  /** Of the whole request. */
  readonly exactKey: string;
  /** What it is about, by which its category is found; null where there is nothing to read. */
  readonly text: string | null;
  /** What its user has said before, as far as a category can be found by it; null: nothing. */
  readonly earlier: string | null;
  /** Whether another text may ask for the same. */
  readonly mayBeSimilar: boolean;
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
 * Takes a request apart into what must match exactly and the last user message, which may be similar; a prompt that is continued matches
 * exactly or not at all. null: it cannot be kept.
 *
 * Keys are hashes of JSON arrays that begin with a tag: a JSON text can be read in one way only, so that no choice of names and texts
 * makes two requests' keys equal (lone surrogates are escaped, numbers are finite).
 */
export function questionOf({ tenant, server, model, requests, isSeeded }: QuestionOptions): Question | null {
  const [first] = requests;
  if (first === undefined || !requests.every((request) => isKept(request, first))) return null;
  const { prompt, sampling, scheduling } = first;
  const { weight, cacheSalt } = scheduling;
  const { text, earlier, exactText, rest } = partsOf(prompt);
  const identity = [
    'partition',
    tenant,
    cacheSalt,
    server,
    [model.root, model.fingerprint, model.mixture],
    rest,
    samplingClass(sampling, isSeeded),
    requests.length,
  ];
  const partition = digest(identity);
  return {
    tenant,
    weight,
    cacheSalt,
    server,
    model,
    partition,
    exactKey: digest(['request', partition, exactText]),
    text,
    earlier,
    mayBeSimilar: prompt.kind === 'chat' && text !== null,
    temperature: sampling.temperature,
    isMultiTurn: prompt.kind === 'chat' && prompt.messages.some(isEarlierTurn(prompt.messages.length - 1)),
  };
}

/** One prompt, and an answer that is nothing but what the model says. */
function isKept({ prompt, sampling, echo }: BackendRequest, first: BackendRequest): boolean {
  return prompt === first.prompt && sampling.logprobs === null && sampling.promptLogprobs === null && !echo;
}

interface Parts {
  readonly text: string | null;
  readonly earlier: string | null;
  /** Of the text, what the same request has in common with it. */
  readonly exactText: string | null;
  /** All else, which must match exactly. */
  readonly rest: unknown;
}

/** What a prompt asks, and all the rest of it. */
function partsOf(prompt: Prompt): Parts {
  switch (prompt.kind) {
    case 'text':
      // It is continued, from its last byte on, and instructions, examples and history may be anywhere in it.
      return {
        ...{ text: prompt.text, earlier: null, exactText: prompt.text },
        rest: ['text', prompt.specialTokens ?? true],
      };
    case 'tokens':
      return { text: null, earlier: null, exactText: null, rest: ['tokens', prompt.ids] };
    case 'chat': {
      const { messages, tools = null } = prompt;
      const last = messages.at(-1);
      // An answer to a tool's result is about the result.
      if (last?.role !== 'user')
        return { text: null, earlier: null, exactText: null, rest: ['chat', messages, tools] };
      const { content, name = null } = last;
      const before = messages.slice(0, -1);
      const rest = ['chat', before, name, tools, 'user'];
      return { text: content, earlier: saidByUser(before), exactText: normalized(content), rest };
    }
  }
}

/** More of it the embedding model would not read. */
const MOST_EARLIER_CHARACTERS = 4_096;

function saidByUser(messages: readonly ChatMessage[]): string | null {
  const said = messages.filter(({ role }) => role === 'user').map(({ content }) => content);
  return said.length === 0 ? null : said.join('\n').slice(0, MOST_EARLIER_CHARACTERS);
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

/** A message without what makes no difference to anybody: how characters are composed, how lines end, space around all. */
function normalized(text: string): string {
  return text.normalize('NFC').replaceAll('\r\n', '\n').trim();
}

function digest(value: unknown): string {
  return hash('sha256', JSON.stringify(value), 'base64url');
}
