import type { FinishReason, TokenLogprobs, Usage } from '@polylora/engine';
import type { BackendEvent, BackendRequest } from '../backend.ts';
import { streamFailure, UpstreamBroken, unavailable } from './failure.ts';
import {
  bytesOf,
  fromChatLogprobs,
  fromLegacyLogprobs,
  type UpstreamChatLogprobs,
  type UpstreamLegacyLogprobs,
} from './logprobs.ts';
import { needsEcho } from './request-body.ts';
import { toolCallsOf, type UpstreamToolCall } from './tools.ts';

/** What servers that tell no usage are taken to have: about as many characters as a token has in English. */
const CHARACTERS_PER_TOKEN = 4;

interface UpstreamUsage {
  readonly prompt_tokens?: number;
  readonly completion_tokens?: number;
  readonly prompt_tokens_details?: { readonly cached_tokens?: number | null } | null;
}

interface UpstreamText {
  readonly content?: string | null;
  readonly tool_calls?: readonly UpstreamToolCall[] | null;
}

/** A choice of a whole answer or of a chunk of one, of either route. */
interface UpstreamChoice {
  readonly text?: string | null;
  readonly message?: UpstreamText;
  readonly delta?: UpstreamText;
  readonly logprobs?: (UpstreamChatLogprobs & UpstreamLegacyLogprobs) | null;
  readonly finish_reason?: string | null;
  readonly stop_reason?: string | number | null;
}

interface UpstreamObject {
  readonly choices?: readonly UpstreamChoice[];
  readonly usage?: UpstreamUsage | null;
  readonly error?: unknown;
}

/** @throws UpstreamBroken where it is no answer */
export function wholeAnswer(body: Uint8Array, request: BackendRequest): BackendEvent[] {
  const { choices, usage } = parsed(Buffer.from(body.buffer, body.byteOffset, body.length).toString());
  const choice = choices?.[0];
  if (choice === undefined) throw new UpstreamBroken('the upstream’s answer has no choice');
  if (needsEcho(request)) return echoed(choice, usage, request);
  const text = choice.message?.content ?? choice.text ?? '';
  const logprobs = request.sampling.logprobs === null ? null : logprobsOf(choice);
  const calls = toolCallsOf(choice.message?.tool_calls);
  const called = calls.toolCalls === undefined ? 0 : JSON.stringify(calls.toolCalls).length;
  const told = usageOf(usage, request, () => estimate(text.length + called));
  const delta = { type: 'delta', text, tokens: told.completionTokens, logprobs, ...calls } as const;
  return [start(request, told.promptTokens), delta, finish(choice, told)];
}

/** Makes events of a streamed answer's chunks. */
export class ChunkReader {
  readonly #request: BackendRequest;
  #tokens = 0;
  #last: UpstreamChoice | null = null;
  #usage: UpstreamUsage | null | undefined;
  #isDone = false;

  constructor(request: BackendRequest) {
    this.#request = request;
  }

  /** After `[DONE]`, or an error. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** @param data of one server-sent event */
  read(data: string): BackendEvent | null {
    if (data === '[DONE]') {
      this.#isDone = true;
      return null;
    }
    const { choices, usage, error } = parsed(data);
    if (error !== undefined && error !== null) {
      this.#isDone = true;
      return streamFailure(error);
    }
    this.#usage = usage ?? this.#usage;
    const choice = choices?.[0];
    if (choice === undefined) return null;
    if ((choice.finish_reason ?? null) !== null) this.#last = choice;
    const text = choice.delta?.content ?? choice.text ?? '';
    const logprobs = this.#request.sampling.logprobs === null ? null : logprobsOf(choice);
    const calls = toolCallsOf(choice.delta?.tool_calls);
    const isEmpty = text === '' && calls.toolCalls === undefined;
    if (isEmpty && (logprobs === null || logprobs.length === 0)) return null;
    const tokens = logprobs?.length || 1;
    this.#tokens += tokens;
    return { type: 'delta', text, tokens, logprobs, ...calls };
  }

  /** What is left to say after `[DONE]`, or where the upstream ended without it. */
  *end(): Generator<BackendEvent> {
    if (this.#last === null) {
      yield unavailable();
      return;
    }
    const told = usageOf(this.#usage, this.#request, () => this.#tokens);
    // A chunk may have more than one token: what was not counted by chunks is here.
    const rest = told.completionTokens - this.#tokens;
    if (rest > 0) yield { type: 'delta', text: '', tokens: rest, logprobs: null };
    yield finish(this.#last, told);
  }
}

/** The event that begins an answer. */
export function start({ echo, prompt }: BackendRequest, promptTokens: number | null): BackendEvent {
  return { type: 'start', promptTokens, promptText: echo && prompt.kind === 'text' ? prompt.text : null };
}

/** An answer that begins with its prompt: by the prompt's tokens it is known where the rest begins. */
function echoed(
  choice: UpstreamChoice,
  usage: UpstreamUsage | null | undefined,
  request: BackendRequest,
): BackendEvent[] {
  const { sampling } = request;
  const promptTokens = usage?.prompt_tokens;
  const names = choice.logprobs?.tokens;
  if (promptTokens === undefined || names === undefined) {
    throw new UpstreamBroken('the upstream’s answer does not tell the prompt from the completion');
  }
  const bytes = (from: number, to: number) => Buffer.concat(names.slice(from, to).map(bytesOf)).toString();
  const promptText = bytes(0, promptTokens);
  // The answer's own text: a stop string is in its tokens, and not in that.
  const isBeginning = choice.text?.startsWith(promptText) ?? false;
  const text = isBeginning ? (choice.text ?? '').slice(promptText.length) : bytes(promptTokens, names.length);
  const logprobs = fromLegacyLogprobs(choice.logprobs ?? {});
  const told = usageOf(usage, request, () => names.length - promptTokens);
  return [
    { type: 'start', promptTokens, promptText },
    ...(sampling.promptLogprobs === null
      ? []
      : [{ type: 'prompt' as const, logprobs: logprobs.slice(0, promptTokens) }]),
    {
      type: 'delta',
      text,
      tokens: told.completionTokens,
      logprobs:
        sampling.logprobs === null ? null : logprobs.slice(promptTokens).filter((each) => each !== null),
    },
    finish(choice, told),
  ];
}

function finish(choice: UpstreamChoice, usage: Usage): BackendEvent {
  const { finish_reason: reason, stop_reason: stopReason = null } = choice;
  return { type: 'finish', reason: finishReason(reason), stopReason, usage, queuedSeconds: 0 };
}

function finishReason(reason: string | null | undefined): FinishReason {
  return reason === 'length' || reason === 'abort' || reason === 'tool_calls' ? reason : 'stop';
}

function logprobsOf({ logprobs }: UpstreamChoice): readonly TokenLogprobs[] {
  if (logprobs === null || logprobs === undefined) return [];
  if (logprobs.content !== undefined) return fromChatLogprobs(logprobs);
  return fromLegacyLogprobs(logprobs).filter((each) => each !== null);
}

/** Nothing goes unmetered: what the upstream does not count is estimated. */
function usageOf(
  usage: UpstreamUsage | null | undefined,
  { prompt }: BackendRequest,
  completionTokens: () => number,
): Usage {
  return {
    promptTokens: usage?.prompt_tokens ?? promptEstimate(prompt),
    completionTokens: usage?.completion_tokens ?? completionTokens(),
    cachedPromptTokens: usage?.prompt_tokens_details?.cached_tokens ?? 0,
  };
}

function promptEstimate(prompt: BackendRequest['prompt']): number {
  if (prompt.kind === 'tokens') return prompt.ids.length;
  if (prompt.kind === 'text') return estimate(prompt.text.length);
  const { messages, tools } = prompt;
  const said = messages.reduce(
    (sum, { content, toolCalls }) =>
      sum + estimate(content.length + (toolCalls === undefined ? 0 : JSON.stringify(toolCalls).length)),
    0,
  );
  return said + (tools === undefined ? 0 : estimate(JSON.stringify(tools).length));
}

function estimate(characters: number): number {
  return Math.ceil(characters / CHARACTERS_PER_TOKEN);
}

function parsed(text: string): UpstreamObject {
  try {
    return (JSON.parse(text) ?? {}) as UpstreamObject;
  } catch {
    throw new UpstreamBroken('the upstream’s answer is not JSON');
  }
}
