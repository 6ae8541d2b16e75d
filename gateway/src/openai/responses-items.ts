/** Items of the Responses API: messages, calls of functions and what came of them, as clients send them and as they are kept. */
import type { ChatMessage, ToolCall } from '@polylora/engine';
import { z } from 'zod';
import { invalidValue, missing, quoted } from './fields.ts';
import { newId } from './ids.ts';
import { refuseCostlyText } from './json-cost.ts';
import { expecting, hints, list, optional, text } from './schema-parts.ts';
import { MAX_CALLS } from './tools.ts';

/** More items or parts than any model's context has room for. */
export const SEVERAL = { min: 1, max: 2 ** 16 };

const MAX_ID_LENGTH = 256;

const partType = z.enum(['input_text', 'output_text']);
hints.add(partType, { unsupported: ['input_image', 'input_file', 'input_audio', 'refusal'] });

const contentPart = z.object({ type: partType, text: z.string() });
const content = expecting(
  z.union([z.string(), list(contentPart, 'objects', SEVERAL)]),
  'one of a string or array of objects',
);

const itemType = z.enum(['message', 'function_call', 'function_call_output']);
hints.add(itemType, {
  unsupported: [
    'item_reference',
    'reasoning',
    'file_search_call',
    'web_search_call',
    'computer_call',
    'computer_call_output',
    'mcp_call',
    'custom_tool_call',
    'custom_tool_call_output',
  ],
});

/** An item of the conversation. What it must have depends on its type. */
export const inputItem = z.object({
  type: optional(itemType, 'What it is.', 'message'),
  role: optional(z.enum(['user', 'assistant', 'system', 'developer']), "A message's."),
  content: optional(content, "A message's."),
  call_id: optional(text(MAX_ID_LENGTH), 'Of a call, and of its output.'),
  name: optional(text(MAX_ID_LENGTH), "A call's function."),
  status: optional(z.enum(['in_progress', 'completed', 'incomplete']), 'Of a call: whether it was cut off.'),
  arguments: optional(z.string(), "A call's, as JSON."),
  output: optional(content, 'What came of a call.'),
});

type InputItem = z.output<typeof inputItem>;

interface ResponseLogprob {
  readonly token: string;
  readonly bytes: readonly number[];
  readonly logprob: number;
}

export interface TextPart {
  readonly type: 'input_text' | 'output_text';
  readonly text: string;
  readonly annotations?: readonly [];
  readonly logprobs?: readonly (ResponseLogprob & { readonly top_logprobs: readonly ResponseLogprob[] })[];
}

type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

export interface MessageItem {
  readonly id: string;
  readonly type: 'message';
  readonly status: ItemStatus;
  readonly role: 'user' | 'assistant' | 'system' | 'developer';
  readonly content: readonly TextPart[];
}

export interface CallItem {
  readonly id: string;
  readonly type: 'function_call';
  readonly status: ItemStatus;
  readonly call_id: string;
  readonly name: string;
  /** JSON text. */
  readonly arguments: string;
}

interface CallOutputItem {
  readonly id: string;
  readonly type: 'function_call_output';
  readonly status: ItemStatus;
  readonly call_id: string;
  readonly output: string;
}

/** Of the input or of the output. */
export type ResponseItem = MessageItem | CallItem | CallOutputItem;

/** @throws ApiError for an item without what its type needs, and for arguments that nest too deeply */
export function itemOf(item: InputItem, index: number): ResponseItem {
  const needed = <T>(field: keyof InputItem, value: T | null | undefined): T => {
    if (value == null) throw missing(`input[${index}].${field}`);
    return value;
  };
  switch (item.type ?? 'message') {
    case 'message': {
      const role = needed('role', item.role);
      const given = needed('content', item.content);
      const type = role === 'assistant' ? 'output_text' : 'input_text';
      const parts = typeof given === 'string' ? [{ type, text: given } as const] : given;
      return { id: newId('msg_'), type: 'message', status: 'completed', role, content: parts };
    }
    case 'function_call': {
      const given = needed('arguments', item.arguments);
      refuseCostlyText(given, `input[${index}].arguments`);
      return {
        id: newId('fc_'),
        type: 'function_call',
        status: item.status ?? 'completed',
        call_id: needed('call_id', item.call_id),
        name: needed('name', item.name),
        arguments: given,
      };
    }
    case 'function_call_output':
      return {
        id: newId('fco_'),
        type: 'function_call_output',
        status: 'completed',
        call_id: needed('call_id', item.call_id),
        output: textOf(needed('output', item.output)),
      };
  }
}

/**
 * The conversation as a chat: calls are what an assistant's message has, and follow it. Calls that were cut off are left out: no
 * template could take their arguments.
 *
 * @throws ApiError for too many calls at once, an output of a call that is not there, and a call without an output
 */
export function messagesOf(items: readonly ResponseItem[]): ChatMessage[] {
  const messages: ChatMessage[] = [];
  /** Of the last message, where that may have calls. */
  let calls: ToolCall[] | null = null;
  const unanswered = new Set<string>();
  const called = new Set<string>();
  for (const item of items) {
    if (item.type === 'message') {
      calls = null;
      messages.push({ role: item.role, content: textOf(item.content) });
    } else if (item.type === 'function_call') {
      if (item.status === 'incomplete') continue;
      called.add(item.call_id);
      unanswered.add(item.call_id);
      if (calls === null) {
        calls = [];
        const last = messages.at(-1);
        const content = last?.role === 'assistant' ? last.content : '';
        if (last?.role === 'assistant') messages.pop();
        messages.push({ role: 'assistant', content, toolCalls: calls });
      }
      if (calls.length === MAX_CALLS)
        throw invalidValue('input', `at most ${MAX_CALLS} calls can follow each other.`);
      calls.push({ id: item.call_id, name: item.name, arguments: item.arguments });
    } else {
      calls = null;
      if (!called.has(item.call_id))
        throw invalidValue(
          'input',
          `no tool call found for the output with 'call_id' '${quoted(item.call_id)}'.`,
        );
      unanswered.delete(item.call_id);
      messages.push({ role: 'tool', content: item.output, toolCallId: item.call_id });
    }
  }
  const [first] = unanswered;
  if (first !== undefined)
    throw invalidValue('input', `no tool output found for the function call '${quoted(first)}'.`);
  return messages;
}

/** Parts are joined as those of a chat are. */
function textOf(given: string | readonly { readonly text: string }[]): string {
  return typeof given === 'string' ? given : given.map((part) => part.text).join('\n');
}
