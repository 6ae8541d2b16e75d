import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ToolCallParser } from './tool-call-parser.ts';
import { HERMES, LLAMA, MISTRAL, MISTRAL_NAMED, MISTRAL_NUMBERED, type ToolFormat } from './tool-format.ts';

interface Read {
  readonly text: string;
  readonly calls: readonly { readonly name: string; readonly arguments: string }[];
}

/** What comes of an answer that comes in pieces of these lengths, over and over. */
function read(format: ToolFormat, answer: string, lengths: readonly number[] = [1]): Read {
  const parser = new ToolCallParser(format, ['add', 'get "it"'], (index) => `call-${index}`);
  let text = '';
  const calls: { name: string; arguments: string }[] = [];
  const take = (parsed: ReturnType<ToolCallParser['push']>) => {
    text += parsed.text;
    for (const { index, id, name, arguments: more } of parsed.calls) {
      if (id !== null) {
        expect({ index, id }).toEqual({ index: calls.length, id: `call-${calls.length}` });
        calls.push({ name: name!, arguments: '' });
      }
      calls[index]!.arguments += more;
    }
  };
  for (let at = 0, turn = 0; at < answer.length; turn++) {
    const length = lengths[turn % lengths.length]!;
    take(parser.push(answer.slice(at, at + length)));
    at += length;
  }
  take(parser.flush());
  expect(parser.calls).toBe(calls.length);
  return { text, calls };
}

const ADD = { name: 'add', arguments: '{"x": 1, "y": [2, {"z": "}]\\""}]}' };
const ADD_JSON = `{"name": "add", "arguments": ${ADD.arguments}}`;

describe('calls of tools', () => {
  it.each<[string, ToolFormat, string, Read]>([
    ['one', HERMES, `<tool_call>\n${ADD_JSON}\n</tool_call>`, { text: '', calls: [ADD] }],
    [
      'several, after words',
      HERMES,
      `I add. \n<tool_call>\n${ADD_JSON}\n</tool_call>\n<tool_call>\n${ADD_JSON}\n</tool_call>`,
      { text: 'I add.', calls: [ADD, ADD] },
    ],
    [
      'a list, as SmolLM2 writes it',
      HERMES,
      `<tool_call>[${ADD_JSON}, ${ADD_JSON}]</tool_call>`,
      { text: '', calls: [ADD, ADD] },
    ],
    ['words alone', HERMES, 'a < b, <tool> is none.', { text: 'a < b, <tool> is none.', calls: [] }],
    [
      'an unknown function',
      HERMES,
      '<tool_call>{"name": "sub", "arguments": {}}</tool_call>',
      { text: '<tool_call>{"name": "sub", "arguments": {}}</tool_call>', calls: [] },
    ],
    [
      'what is no call',
      HERMES,
      '<tool_call>nothing</tool_call>',
      { text: '<tool_call>nothing</tool_call>', calls: [] },
    ],
    [
      'arguments before the name',
      HERMES,
      '<tool_call>{"arguments":{"a":1},"name":"add"}</tool_call>',
      { text: '', calls: [{ name: 'add', arguments: '{"a":1}' }] },
    ],
    [
      'a name with quotes',
      HERMES,
      '<tool_call>{"name":"get \\"it\\"","arguments":{}}</tool_call>',
      { text: '', calls: [{ name: 'get "it"', arguments: '{}' }] },
    ],
    [
      'one that is cut off',
      HERMES,
      '<tool_call>{"name":"add","arguments":{"a":',
      { text: '', calls: [{ name: 'add', arguments: '{"a":' }] },
    ],
    [
      'one that is cut off before its name',
      HERMES,
      '<tool_call>{"nam',
      { text: '<tool_call>{"nam', calls: [] },
    ],
    [
      'the whole answer',
      LLAMA,
      '{"name": "add", "parameters": {"x": 1}}',
      { text: '', calls: [{ name: 'add', arguments: '{"x": 1}' }] },
    ],
    [
      'several with semicolons',
      LLAMA,
      '{"name": "add", "parameters": {}}; {"name": "add", "parameters": {}}',
      {
        text: '',
        calls: [
          { name: 'add', arguments: '{}' },
          { name: 'add', arguments: '{}' },
        ],
      },
    ],
    [
      'JSON that is no call',
      LLAMA,
      '{"name": "Ann", "age": 3}',
      { text: '{"name": "Ann", "age": 3}', calls: [] },
    ],
    ['words, then a brace', LLAMA, 'So: {"name": "add"}', { text: 'So: {"name": "add"}', calls: [] }],
    [
      'a list after its marker',
      MISTRAL,
      `[TOOL_CALLS] [${ADD_JSON}, ${ADD_JSON}]`,
      { text: '', calls: [ADD, ADD] },
    ],
    [
      'behind the tag of code',
      LLAMA,
      '<|python_tag|>{"name": "add", "parameters": {"x": 1}}',
      { text: '', calls: [{ name: 'add', arguments: '{"x": 1}' }] },
    ],
    ['code', LLAMA, '<|python_tag|>print(1)', { text: '<|python_tag|>print(1)', calls: [] }],
    ['a part of the tag', LLAMA, '<|python', { text: '<|python', calls: [] }],
    [
      'names before their arguments',
      MISTRAL_NAMED,
      `I add. [TOOL_CALLS]add[ARGS]${ADD.arguments}[TOOL_CALLS]add[ARGS] {}`,
      { text: 'I add.', calls: [ADD, { name: 'add', arguments: '{}' }] },
    ],
    [
      'a name with an id',
      MISTRAL_NUMBERED,
      `[TOOL_CALLS]add[CALL_ID]a1b2c3d4e[ARGS]${ADD.arguments}`,
      { text: '', calls: [ADD] },
    ],
    [
      'an unknown name',
      MISTRAL_NAMED,
      '[TOOL_CALLS]sub[ARGS]{}',
      { text: '[TOOL_CALLS]sub[ARGS]{}', calls: [] },
    ],
    [
      'a name with no arguments',
      MISTRAL_NAMED,
      '[TOOL_CALLS]add, or not',
      { text: '[TOOL_CALLS]add, or not', calls: [] },
    ],
    [
      'a name whose arguments are none',
      MISTRAL_NAMED,
      '[TOOL_CALLS]add[ARGS]1',
      { text: '[TOOL_CALLS]add[ARGS]1', calls: [] },
    ],
    [
      'a name that is cut off',
      MISTRAL_NAMED,
      '[TOOL_CALLS]add[ARGS]',
      { text: '[TOOL_CALLS]add[ARGS]', calls: [] },
    ],
    [
      'arguments that are cut off',
      MISTRAL_NAMED,
      '[TOOL_CALLS]add[ARGS]{"a":',
      { text: '', calls: [{ name: 'add', arguments: '{"a":' }] },
    ],
    ['words with brackets', MISTRAL, 'See [1] and [TOOL].', { text: 'See [1] and [TOOL].', calls: [] }],
  ])('%s', (_, format, answer, expected) => {
    expect(read(format, answer, [answer.length])).toEqual(expected);
    expect(read(format, answer, [1])).toEqual(expected);
  });

  it('are the same however the answer is cut', () => {
    const part = fc.constantFrom(
      '<tool_call>',
      '</tool_call>',
      '\n',
      ' ',
      ADD_JSON,
      '{',
      '}',
      '"name"',
      'words',
      '[',
      ']',
      '<',
      ',',
    );
    fc.assert(
      fc.property(
        fc.array(part, { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }),
        (parts, lengths) => {
          const answer = parts.join('');
          expect(read(HERMES, answer, lengths)).toEqual(read(HERMES, answer, [1]));
        },
      ),
    );
  });
});
