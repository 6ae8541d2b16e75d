/** The Responses API's answer, whole and as named events in OpenAI's order. */
import type { FinishReason, TokenLogprob, TokenLogprobs, ToolCallDelta, Usage } from '@polylora/engine';
import type { ChoiceEvent } from '../generation.ts';
import type { JsonObject } from './fields.ts';
import { newId } from './ids.ts';
import { finite } from './logprobs.ts';
import type { CallItem, MessageItem, TextPart } from './responses-items.ts';
import type { ServiceTier } from './scheduling.ts';

/** What of an answer is known before it is made: OpenAI's `response` object repeats what was asked. */
export interface ResponseHead {
  readonly id: string;
  readonly object: 'response';
  /** Unix time in seconds. */
  readonly created_at: number;
  readonly background: false;
  readonly instructions: string | null;
  readonly max_output_tokens: number | null;
  readonly max_tool_calls: null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly model: string;
  readonly parallel_tool_calls: boolean;
  readonly previous_response_id: string | null;
  readonly reasoning: { readonly effort: null; readonly summary: null };
  readonly service_tier: ServiceTier;
  readonly store: boolean;
  readonly temperature: number;
  readonly text: { readonly format: JsonObject };
  readonly tool_choice: 'auto' | 'none' | 'required' | { readonly type: 'function'; readonly name: string };
  readonly tools: readonly {
    readonly type: 'function';
    readonly name: string;
    readonly description: string | null;
    readonly parameters: JsonObject | null;
    readonly strict: boolean;
  }[];
  readonly top_logprobs: number;
  readonly top_p: number;
  readonly truncation: 'disabled';
  // Not told where there is none, as OpenAI's specification has it.
  readonly prompt_cache_key?: string;
  readonly safety_identifier?: string;
  readonly user?: string;
}

export interface ResponseBody extends ResponseHead {
  readonly status: 'in_progress' | 'completed' | 'incomplete';
  readonly completed_at: number | null;
  readonly error: null;
  readonly incomplete_details: { readonly reason: 'max_output_tokens' } | null;
  readonly output: readonly (MessageItem | CallItem)[];
  /** Once it is known. */
  readonly usage?: {
    readonly input_tokens: number;
    readonly input_tokens_details: { readonly cached_tokens: number };
    readonly output_tokens: number;
    readonly output_tokens_details: { readonly reasoning_tokens: 0 };
    readonly total_tokens: number;
  };
}

interface OpenMessage {
  readonly id: string;
  readonly place: number;
  text: string;
  readonly logprobs: TokenLogprobs[];
}

interface OpenCall {
  readonly id: string;
  /** As its model's server told it; null: that tells none. */
  readonly givenId: string | null;
  readonly callId: string;
  name: string;
  arguments: string;
  /** In the output; null until its name is known, and others are told of it. */
  place: number | null;
}

/** An event without its number. */
interface AnswerEvent {
  readonly type: string;
}

/**
 * Makes the output's items of an answer, and tells of each step. Servers differ in how they send calls: pieces of several may
 * come in turns, with or without ids, names may come late, text in between.
 */
class Answer {
  readonly #output: (MessageItem | CallItem | null)[] = [];
  #message: OpenMessage | null = null;
  /** Open ones, by the index that pieces have. */
  readonly #calls = new Map<number, OpenCall>();
  /** Of tokens that have shown no text yet: what begins a call shows none. */
  #held: TokenLogprobs[] = [];
  #reason: FinishReason = 'stop';
  #usage: Usage = { promptTokens: 0, completionTokens: 0, cachedPromptTokens: 0 };

  *see({ event }: ChoiceEvent): Generator<AnswerEvent> {
    if (event.type === 'finish') {
      this.#reason = event.reason;
      this.#usage = event.usage;
    }
    if (event.type !== 'delta') return;
    const pieces = event.toolCalls ?? [];
    const first = pieces.findIndex((piece) => this.#callOf(piece) === null);
    const [further, begun] = first < 0 ? [pieces, []] : [pieces.slice(0, first), pieces.slice(first)];
    // What goes on with a call belongs before text that comes with it, which follows the call.
    for (const piece of further) yield* this.#addToCall(piece);
    this.#held.push(...(event.logprobs ?? []));
    if (event.text !== '') yield* this.#addText(event.text);
    for (const piece of begun)
      yield* this.#callOf(piece) === null ? this.#beginCall(piece) : this.#addToCall(piece);
    // Tokens of calls have logprobs too, which the Responses API has no place for.
    if (this.#calls.size > 0) this.#held = [];
  }

  /** What is left to tell when all was seen: an answer has one item at least. */
  *end(): Generator<AnswerEvent> {
    const isEmpty = this.#output.length === 0 && this.#calls.size === 0;
    if (this.#message !== null || isEmpty) {
      if (this.#message === null) yield* this.#openMessage();
      if (this.#held.length > 0) yield* this.#addText('');
      yield* this.#closeMessage(this.#status);
    }
    for (const index of [...this.#calls.keys()]) yield* this.#closeCall(index, this.#status);
  }

  body(head: ResponseHead): ResponseBody {
    const { promptTokens, completionTokens, cachedPromptTokens } = this.#usage;
    return {
      ...head,
      status: this.#status,
      completed_at: now(),
      error: null,
      incomplete_details: this.#status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
      output: this.#output.filter((item) => item !== null),
      usage: {
        input_tokens: promptTokens,
        input_tokens_details: { cached_tokens: cachedPromptTokens },
        output_tokens: completionTokens,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: promptTokens + completionTokens,
      },
    };
  }

  get #status(): 'completed' | 'incomplete' {
    return this.#reason === 'length' ? 'incomplete' : 'completed';
  }

  *#addText(text: string): Generator<AnswerEvent> {
    const message = this.#message ?? (yield* this.#openMessage());
    const logprobs = this.#held;
    this.#held = [];
    message.text += text;
    message.logprobs.push(...logprobs);
    yield event('response.output_text.delta', {
      ...inPart(message),
      delta: text,
      logprobs: logprobs.map(responseLogprob),
    });
  }

  /** The open call that a piece goes on with; null: it begins one. Some servers repeat the id with every piece. */
  #callOf({ index, id }: ToolCallDelta): OpenCall | null {
    const call = this.#calls.get(index);
    return call !== undefined && (id === null || id === call.givenId) ? call : null;
  }

  *#beginCall(piece: ToolCallDelta): Generator<AnswerEvent> {
    yield* this.#closeMessage('completed');
    // Others may still go on, unless all of their arguments are there.
    for (const [index, call] of [...this.#calls])
      if (index === piece.index || isWhole(call)) yield* this.#closeCall(index, 'completed');
    this.#calls.set(piece.index, {
      id: newId('fc_'),
      givenId: piece.id,
      callId: piece.id ?? newId('call_'),
      name: '',
      arguments: '',
      place: null,
    });
    yield* this.#addToCall(piece);
  }

  *#addToCall(piece: ToolCallDelta): Generator<AnswerEvent> {
    const call = this.#callOf(piece);
    if (call === null) return;
    if (call.name === '') call.name = piece.name ?? '';
    call.arguments += piece.arguments;
    if (call.name === '') return;
    if (call.place === null) yield* this.#tell(call);
    else if (piece.arguments !== '') yield argumentsDelta(call, piece.arguments);
  }

  /** Tells of a call, and of the arguments that are there already. */
  *#tell(call: OpenCall): Generator<AnswerEvent> {
    call.place = this.#output.push(null) - 1;
    const item = { ...callItem(call, 'in_progress'), arguments: '' };
    yield event('response.output_item.added', { output_index: call.place, item });
    if (call.arguments !== '') yield argumentsDelta(call, call.arguments);
  }

  *#openMessage(): Generator<AnswerEvent, OpenMessage> {
    const place = this.#output.push(null) - 1;
    const message: OpenMessage = { id: newId('msg_'), place, text: '', logprobs: [] };
    this.#message = message;
    const item = messageItem(message, 'in_progress', []);
    yield event('response.output_item.added', { output_index: place, item });
    yield event('response.content_part.added', { ...inPart(message), part: textPart(message) });
    return message;
  }

  *#closeMessage(status: 'completed' | 'incomplete'): Generator<AnswerEvent> {
    const message = this.#message;
    if (message === null) return;
    this.#message = null;
    const part = textPart(message);
    const { text, logprobs } = part;
    yield event('response.output_text.done', { ...inPart(message), text, logprobs });
    yield event('response.content_part.done', { ...inPart(message), part });
    yield* this.#done(message.place, messageItem(message, status, [part]));
  }

  *#closeCall(index: number, status: 'completed' | 'incomplete'): Generator<AnswerEvent> {
    const call = this.#calls.get(index);
    if (call === undefined) return;
    this.#calls.delete(index);
    if (call.place === null) yield* this.#tell(call);
    const { name, arguments: whole } = call;
    yield event('response.function_call_arguments.done', { ...inOutput(call), name, arguments: whole });
    // The limit may have come after its end.
    yield* this.#done(call.place ?? 0, callItem(call, isWhole(call) ? 'completed' : status));
  }

  *#done(place: number, item: MessageItem | CallItem): Generator<AnswerEvent> {
    this.#output[place] = item;
    yield event('response.output_item.done', { output_index: place, item });
  }
}

/** Whether nothing can follow. */
function isWhole(call: OpenCall): boolean {
  try {
    JSON.parse(call.arguments);
    return true;
  } catch {
    return false;
  }
}

function inOutput({ id, place }: OpenMessage | OpenCall) {
  return { item_id: id, output_index: place };
}

function inPart(message: OpenMessage) {
  return { ...inOutput(message), content_index: 0 };
}

function argumentsDelta(call: OpenCall, delta: string): AnswerEvent {
  return event('response.function_call_arguments.delta', { ...inOutput(call), delta });
}

function event(type: string, fields: object): AnswerEvent {
  return { type, ...fields };
}

function textPart({ text, logprobs }: OpenMessage): TextPart {
  return { type: 'output_text', text, annotations: [], logprobs: logprobs.map(responseLogprob) };
}

function messageItem(
  { id }: OpenMessage,
  status: MessageItem['status'],
  content: readonly TextPart[],
): MessageItem {
  return { id, type: 'message', status, role: 'assistant', content };
}

function callItem(call: OpenCall, status: CallItem['status']): CallItem {
  const { id, callId, name, arguments: whole } = call;
  return { id, type: 'function_call', status, call_id: callId, name, arguments: whole };
}

export function wholeResponse(events: readonly ChoiceEvent[], head: ResponseHead): ResponseBody {
  const answer = new Answer();
  for (const each of events) exhaust(answer.see(each));
  exhaust(answer.end());
  return answer.body(head);
}

/** Where only what comes of the steps is wanted. */
function exhaust(steps: Generator<AnswerEvent>): void {
  while (steps.next().done !== true);
}

/**
 * @param done is waited for before the last event is sent, so that a client that has it can ask for the response
 */
export async function* responseEvents(
  events: AsyncIterable<ChoiceEvent>,
  head: ResponseHead,
  done: (body: ResponseBody) => Promise<void>,
): AsyncGenerator<{ readonly type: string }> {
  const answer = new Answer();
  let number = 0;
  const numbered = ({ type, ...fields }: AnswerEvent) => ({ type, sequence_number: number++, ...fields });
  const started: ResponseBody = {
    ...head,
    status: 'in_progress',
    completed_at: null,
    error: null,
    incomplete_details: null,
    output: [],
  };
  yield numbered(event('response.created', { response: started }));
  yield numbered(event('response.in_progress', { response: started }));
  for await (const each of events) {
    for (const step of answer.see(each)) yield numbered(step);
  }
  for (const step of answer.end()) yield numbered(step);
  const body = answer.body(head);
  await done(body);
  yield numbered(event(`response.${body.status}`, { response: body }));
}

export function now(): number {
  return Math.floor(Date.now() / 1000);
}

function responseLogprob({ top, ...token }: TokenLogprobs) {
  return { top_logprobs: top.map(tokenLogprob), ...tokenLogprob(token) };
}

function tokenLogprob({ text, bytes, logprob }: TokenLogprob) {
  return { token: text, bytes, logprob: finite(logprob) };
}
