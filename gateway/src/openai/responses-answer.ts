/** The Responses API's answer, whole and as named events in OpenAI's order. */
import type { FinishReason, TokenLogprob, TokenLogprobs, Usage } from '@polylora/engine';
import { newId } from '../batches/ids.ts';
import type { ChoiceEvent } from '../generation.ts';
import type { JsonObject } from './fields.ts';
import { finite } from './logprobs.ts';
import type { ServiceTier } from './scheduling.ts';

interface ResponseLogprob {
  readonly token: string;
  readonly bytes: readonly number[];
  readonly logprob: number;
}

interface TextPart {
  readonly type: 'input_text' | 'output_text';
  readonly text: string;
  readonly annotations?: readonly [];
  readonly logprobs?: readonly (ResponseLogprob & { readonly top_logprobs: readonly ResponseLogprob[] })[];
}

/** A message, of the input or of the output. */
export interface ResponseItem {
  readonly id: string;
  readonly type: 'message';
  readonly status: 'in_progress' | 'completed' | 'incomplete';
  readonly role: 'user' | 'assistant' | 'system' | 'developer';
  readonly content: readonly TextPart[];
}

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
  readonly tool_choice: 'auto' | 'none';
  readonly tools: readonly [];
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
  readonly output: readonly ResponseItem[];
  /** Once it is known. */
  readonly usage?: {
    readonly input_tokens: number;
    readonly input_tokens_details: { readonly cached_tokens: number };
    readonly output_tokens: number;
    readonly output_tokens_details: { readonly reasoning_tokens: 0 };
    readonly total_tokens: number;
  };
}

/** The message that is being answered. */
class Answer {
  readonly id = newId('msg_');
  #text = '';
  readonly #logprobs: TokenLogprobs[] = [];
  #reason: FinishReason = 'stop';
  #usage: Usage = { promptTokens: 0, completionTokens: 0, cachedPromptTokens: 0 };

  /** What an event adds to the text; null: nothing. */
  see({ event }: ChoiceEvent): { delta: string; logprobs: readonly TokenLogprobs[] } | null {
    if (event.type === 'finish') {
      this.#reason = event.reason;
      this.#usage = event.usage;
    }
    if (event.type !== 'delta') return null;
    const logprobs = event.logprobs ?? [];
    this.#text += event.text;
    this.#logprobs.push(...logprobs);
    return event.text === '' && logprobs.length === 0 ? null : { delta: event.text, logprobs };
  }

  get status(): 'completed' | 'incomplete' {
    return this.#reason === 'length' ? 'incomplete' : 'completed';
  }

  get part(): TextPart {
    return {
      type: 'output_text',
      text: this.#text,
      annotations: [],
      logprobs: this.#logprobs.map(responseLogprob),
    };
  }

  item(status: ResponseItem['status'], content: readonly TextPart[]): ResponseItem {
    return { id: this.id, type: 'message', status, role: 'assistant', content };
  }

  body(head: ResponseHead): ResponseBody {
    const { promptTokens, completionTokens, cachedPromptTokens } = this.#usage;
    return {
      ...head,
      status: this.status,
      completed_at: now(),
      error: null,
      incomplete_details: this.status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
      output: [this.item(this.status, [this.part])],
      usage: {
        input_tokens: promptTokens,
        input_tokens_details: { cached_tokens: cachedPromptTokens },
        output_tokens: completionTokens,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: promptTokens + completionTokens,
      },
    };
  }
}

export function wholeResponse(events: readonly ChoiceEvent[], head: ResponseHead): ResponseBody {
  const answer = new Answer();
  for (const event of events) answer.see(event);
  return answer.body(head);
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
  const event = (type: string, fields: object) => ({ type, sequence_number: number++, ...fields });
  const started: ResponseBody = {
    ...head,
    status: 'in_progress',
    completed_at: null,
    error: null,
    incomplete_details: null,
    output: [],
  };
  yield event('response.created', { response: started });
  yield event('response.in_progress', { response: started });
  yield event('response.output_item.added', { output_index: 0, item: answer.item('in_progress', []) });
  const where = { item_id: answer.id, output_index: 0, content_index: 0 };
  const empty: TextPart = { type: 'output_text', text: '', annotations: [], logprobs: [] };
  yield event('response.content_part.added', { ...where, part: empty });
  for await (const each of events) {
    const added = answer.see(each);
    if (added === null) continue;
    const { delta, logprobs } = added;
    yield event('response.output_text.delta', { ...where, delta, logprobs: logprobs.map(responseLogprob) });
  }
  const { part } = answer;
  yield event('response.output_text.done', { ...where, text: part.text, logprobs: part.logprobs });
  yield event('response.content_part.done', { ...where, part });
  yield event('response.output_item.done', { output_index: 0, item: answer.item(answer.status, [part]) });
  const body = answer.body(head);
  await done(body);
  yield event(`response.${body.status}`, { response: body });
}

export function now(): number {
  return Math.floor(Date.now() / 1000);
}

function responseLogprob({ top, ...token }: TokenLogprobs) {
  return { ...tokenLogprob(token), top_logprobs: top.map(tokenLogprob) };
}

function tokenLogprob({ text, bytes, logprob }: TokenLogprob): ResponseLogprob {
  return { token: text, bytes, logprob: finite(logprob) };
}
