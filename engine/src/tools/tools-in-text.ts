import type { ChatMessage, Tool } from '../types.ts';

/**
 * Tools put into the messages' text, for templates that know none: told in the first message, in the words that Hermes and Qwen are
 * trained on; calls and their answers are written out.
 *
 * @param where in a system message, or before what the user says first
 */
export function toolsInText(
  messages: readonly ChatMessage[],
  tools: readonly Tool[],
  where: 'system' | 'user',
): readonly ChatMessage[] {
  const told = callsInText(messages);
  const [first, ...others] = told;
  const instructions = instructionsOf(tools);
  if (first === undefined) return told;
  if (where === 'user') return [{ ...first, content: `${instructions}\n\n${first.content}` }, ...others];
  return first.role === 'system' || first.role === 'developer'
    ? [{ ...first, content: `${first.content}\n\n${instructions}` }, ...others]
    : [{ role: 'system', content: instructions }, ...told];
}

/** Calls and their answers as text. */
export function callsInText(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  return messages.map(writtenOut);
}

function instructionsOf(tools: readonly Tool[]): string {
  const lines = tools.map(({ name, description, parameters }) =>
    JSON.stringify({
      type: 'function',
      function: { name, ...(description === null ? {} : { description }), parameters: parameters ?? {} },
    }),
  );
  return [
    '# Tools',
    '',
    'You may call one or more functions to assist with the user query.',
    '',
    'You are provided with function signatures within <tools></tools> XML tags:',
    '<tools>',
    ...lines,
    '</tools>',
    '',
    'For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:',
    '<tool_call>',
    '{"name": <function-name>, "arguments": <args-json-object>}',
    '</tool_call>',
  ].join('\n');
}

function writtenOut(message: ChatMessage): ChatMessage {
  const { role, content, toolCalls = [], toolCallId } = message;
  if (toolCallId !== undefined)
    return { role: 'user', content: `<tool_response>\n${content}\n</tool_response>` };
  if (toolCalls.length === 0) return message;
  const calls = toolCalls.map(
    (call) =>
      `<tool_call>\n{"name": ${JSON.stringify(call.name)}, "arguments": ${call.arguments}}\n</tool_call>`,
  );
  return { role, content: [...(content === '' ? [] : [content]), ...calls].join('\n') };
}
