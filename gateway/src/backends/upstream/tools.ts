import type { ChatMessage, ToolCallDelta, ToolUse } from '@polylora/engine';

/** A call, or a piece of one, as OpenAI's API writes it. Whole answers have no index. */
export interface UpstreamToolCall {
  readonly index?: number;
  readonly id?: string | null;
  readonly function?: { readonly name?: string | null; readonly arguments?: string | null };
}

export function upstreamMessage(message: ChatMessage): object {
  if (message.toolCalls === undefined && message.toolCallId === undefined) return message;
  const { toolCalls, toolCallId, ...rest } = message;
  return {
    ...rest,
    ...(toolCallId === undefined ? {} : { tool_call_id: toolCallId }),
    ...(toolCalls === undefined
      ? {}
      : {
          tool_calls: toolCalls.map(({ id, ...call }) => ({ id, type: 'function', function: call })),
        }),
  };
}

export function addTools(body: Record<string, unknown>, { tools, choice, parallel }: ToolUse): void {
  body.tools = tools.map(({ name, description, parameters, strict }) => ({
    type: 'function',
    function: {
      name,
      ...(description === null ? {} : { description }),
      ...(parameters === null ? {} : { parameters }),
      ...(strict ? { strict } : {}),
    },
  }));
  body.tool_choice = typeof choice === 'string' ? choice : { type: 'function', function: choice };
  if (!parallel) body.parallel_tool_calls = false;
}

/** @returns nothing where there are none, to be spread into an event */
export function toolCallsOf(calls: readonly UpstreamToolCall[] | null | undefined): {
  readonly toolCalls?: readonly ToolCallDelta[];
} {
  if (calls === null || calls === undefined || calls.length === 0) return {};
  const toolCalls = calls.map(({ index, id, function: called }, place) => ({
    index: index ?? place,
    // Some servers repeat an empty one with every piece.
    id: id || null,
    name: called?.name || null,
    arguments: called?.arguments ?? '',
  }));
  return { toolCalls };
}
