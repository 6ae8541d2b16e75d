import type { FinishReason, TokenLogprobs, ToolCallDelta } from '@polylora/engine';
import type { ChoiceEvent } from '../generation.ts';
import { type ChatLogprobs, chatLogprobs } from './logprobs.ts';
import type { ServiceTier } from './scheduling.ts';
import { type UsageBody, UsageSum } from './usage.ts';

/** What all chunks of an answer, or the whole answer, say of it. */
export interface AnswerHead {
  readonly id: string;
  /** Unix time in seconds. */
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
  readonly service_tier?: ServiceTier;
}

/** What a chat answer depends on beside its events. */
export interface ChatAnswerOptions {
  readonly head: AnswerHead;
  readonly choices: number;
  readonly logprobs: boolean;
}

/** A call of a tool, as OpenAI's API writes it. */
interface CallBody {
  readonly id: string;
  readonly type: 'function';
  readonly function: { name: string; arguments: string };
}

interface Choice {
  readonly text: string[];
  readonly logprobs: TokenLogprobs[];
  readonly calls: CallBody[];
  finishReason: FinishReason | null;
  stopReason: string | number | null;
}

/** The whole answer as one `chat.completion`. */
export function chatCompletion(
  events: readonly ChoiceEvent[],
  { head, choices: count, logprobs }: ChatAnswerOptions,
): object {
  const choices = Array.from(
    { length: count },
    (): Choice => ({ text: [], logprobs: [], calls: [], finishReason: null, stopReason: null }),
  );
  const usage = new UsageSum(count);
  for (const { choice: index, event } of events) {
    const choice = choices[index];
    if (choice === undefined) continue;
    if (event.type === 'delta') {
      choice.text.push(event.text);
      choice.logprobs.push(...(event.logprobs ?? []));
      for (const call of event.toolCalls ?? []) addToCalls(choice.calls, call);
    } else if (event.type === 'finish') {
      choice.finishReason = event.reason;
      choice.stopReason = event.stopReason;
      usage.add(index, event.usage);
    }
  }
  return {
    object: 'chat.completion',
    ...head,
    choices: choices.map((choice, index) => ({
      index,
      message: messageOf(choice),
      logprobs: logprobs ? chatLogprobs(choice.logprobs) : null,
      finish_reason: choice.finishReason,
      stop_reason: choice.stopReason,
    })),
    usage: usage.body(),
  };
}

function addToCalls(calls: CallBody[], { index, id, name, arguments: more }: ToolCallDelta): void {
  calls[index] ??= { id: id ?? '', type: 'function', function: { name: name ?? '', arguments: '' } };
  // Some servers tell the name later.
  calls[index].function.name ||= name ?? '';
  calls[index].function.arguments += more;
}

/** An answer of calls alone has no content. */
function messageOf({ text, calls }: Choice): object {
  const content = text.join('');
  if (calls.length === 0) return { role: 'assistant', content, refusal: null };
  return { role: 'assistant', content: content === '' ? null : content, refusal: null, tool_calls: calls };
}

/** A call's first piece has all but its arguments. */
function callChunk({ index, id, name, arguments: more }: ToolCallDelta): object {
  const called = { ...(name === null ? {} : { name }), arguments: more };
  return id === null ? { index, function: called } : { index, id, type: 'function', function: called };
}

interface ChunkChoice {
  readonly index: number;
  readonly delta: {
    readonly role?: 'assistant';
    readonly content?: string;
    readonly refusal?: null;
    readonly tool_calls?: readonly object[];
  };
  readonly logprobs: ChatLogprobs | null;
  readonly finish_reason: FinishReason | null;
  readonly stop_reason?: string | number | null;
}

/** The answer as `chat.completion.chunk`s: the role of each choice, its text as it comes, how it ended. */
export async function* chatCompletionChunks(
  events: AsyncIterable<ChoiceEvent>,
  { head, choices: count, includeUsage }: ChatAnswerOptions & { readonly includeUsage: boolean },
): AsyncGenerator<object> {
  const chunk = (choices: readonly ChunkChoice[], usage: UsageBody | null = null) => ({
    object: 'chat.completion.chunk',
    ...head,
    choices,
    ...(includeUsage ? { usage } : {}),
  });
  const usage = new UsageSum(count);
  for await (const { choice: index, event } of events) {
    if (event.type === 'start') {
      const delta = { role: 'assistant', content: '', refusal: null } as const;
      yield chunk([{ index, delta, logprobs: null, finish_reason: null }]);
    } else if (event.type === 'delta') {
      // Text that may yet become a stop string or half a character is held back: nothing to send then.
      const { text, toolCalls = [] } = event;
      if (text === '' && toolCalls.length === 0 && event.logprobs === null) continue;
      const logprobs = event.logprobs === null ? null : chatLogprobs(event.logprobs);
      const delta = {
        ...(text === '' && toolCalls.length > 0 ? {} : { content: text }),
        ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls.map(callChunk) }),
      };
      yield chunk([{ index, delta, logprobs, finish_reason: null }]);
    } else if (event.type === 'finish') {
      usage.add(index, event.usage);
      const { reason, stopReason } = event;
      yield chunk([{ index, delta: {}, logprobs: null, finish_reason: reason, stop_reason: stopReason }]);
    }
  }
  if (includeUsage) yield chunk([], usage.body());
}
