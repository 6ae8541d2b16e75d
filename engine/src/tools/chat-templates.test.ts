/** Whole chat templates of the families (`test/fixtures/templates`): what they tell of tools, and how they write calls and results. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ChatTemplate } from '../text/chat-template.ts';
import type { ChatMessage, Tool, ToolCallDelta } from '../types.ts';
import { ToolCallParser } from './tool-call-parser.ts';
import { toolFormatOf } from './tool-format.ts';

const FOLDER = join(import.meta.dirname, '../../../test/fixtures/templates');

const TOOL: Tool = {
  name: 'get_weather',
  description: 'What the weather is like.',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  strict: true,
};
const ASKED: readonly ChatMessage[] = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'Weather in Rome?' },
];
const CALLED: ChatMessage = {
  role: 'assistant',
  content: '',
  toolCalls: [{ id: 'abcdefgh1', name: 'get_weather', arguments: '{"city": "Rome"}' }],
};
const RESULT: ChatMessage = { role: 'tool', content: '{"sun": true}', toolCallId: 'abcdefgh1' };

const IN_TAGS = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>';
const FAMILIES = [
  {
    template: 'qwen2.5',
    format: 'hermes',
    call: IN_TAGS,
    end: '<|im_end|>',
    result: '<tool_response>\n{"sun": true}\n</tool_response>',
  },
  {
    template: 'qwen3',
    format: 'hermes',
    call: IN_TAGS,
    end: '<|im_end|>',
    result: '<tool_response>\n{"sun": true}\n</tool_response>',
  },
  {
    template: 'llama-3',
    format: 'llama',
    call: '{"name": "get_weather", "parameters": {"city": "Rome"}}',
    end: '<|eot_id|>',
    result: '<|start_header_id|>ipython<|end_header_id|>\n\n{"sun": true}<|eot_id|>',
  },
  {
    template: 'mistral-nemo',
    format: 'mistral',
    call: '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Rome"}, "id": "abcdefgh1"}]',
    end: '</s>',
    result: '[TOOL_RESULTS]{"content": {"sun": true}, "call_id": "abcdefgh1"}[/TOOL_RESULTS]',
  },
  {
    template: 'mistral-small-3.2',
    format: 'mistral-numbered',
    call: '[TOOL_CALLS]get_weather[CALL_ID]abcdefgh1[ARGS]{"city": "Rome"}',
    end: '</s>',
    result: '[TOOL_RESULTS]abcdefgh1[TOOL_CONTENT]{"sun": true}[/TOOL_RESULTS]',
  },
  {
    template: 'ministral-3',
    format: 'mistral-named',
    call: '[TOOL_CALLS]get_weather[ARGS]{"city": "Rome"}',
    end: '</s>',
    result: '[TOOL_RESULTS]{"sun": true}[/TOOL_RESULTS]',
  },
];

describe.each(FAMILIES)('the template of $template', ({ template, format, call, end, result }) => {
  const source = readFileSync(join(FOLDER, `${template}.jinja`), 'utf8');
  const render = (messages: readonly ChatMessage[], tools: readonly Tool[]) =>
    new ChatTemplate(source, { bosToken: '<s>', eosToken: '</s>' }).render(messages, tools);

  it('tells how its model calls', () => {
    expect(toolFormatOf(source).name).toBe(format);
  });

  it('tells of tools, and of none where there are none', () => {
    const told = render(ASKED, [TOOL]);
    expect(told.replace(/\s+/g, ' ')).toMatch(
      /"name": "get_weather", "description": "What the weather is like\."/,
    );
    expect(render(ASKED, [])).not.toContain('get_weather');
  });

  it('writes a call and its result as its model learned them', () => {
    const rendered = render([...ASKED, CALLED, RESULT], [TOOL]);
    expect(rendered).toContain(`${call}${end}`);
    expect(rendered.indexOf(result)).toBeGreaterThan(rendered.indexOf(call));
  });

  it('writes calls that are read again', () => {
    const parser = new ToolCallParser(toolFormatOf(source), [TOOL.name], (index) => `call-${index}`);
    const parts = [...[...call].map((character) => parser.push(character)), parser.flush()];
    const deltas = parts.flatMap(({ calls }): readonly ToolCallDelta[] => calls);
    expect(parts.map(({ text }) => text).join('')).toBe('');
    expect(deltas.map(({ name }) => name).filter((name) => name !== null)).toEqual(['get_weather']);
    expect(deltas.map((delta) => delta.arguments).join('')).toBe('{"city": "Rome"}');
  });
});
