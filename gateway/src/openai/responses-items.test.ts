import { describe, expect, it } from 'vitest';
import { itemOf, messagesOf, type ResponseItem } from './responses-items.ts';

function call(id: string, status: 'completed' | 'incomplete' = 'completed'): ResponseItem {
  return itemOf({ type: 'function_call', call_id: id, name: 'f', arguments: '{}', status }, 0);
}

function output(id: string): ResponseItem {
  return itemOf({ type: 'function_call_output', call_id: id, output: [{ type: 'input_text', text: id }] }, 0);
}

const said = (content: string) => itemOf({ role: 'assistant', content }, 0);

describe('messagesOf', () => {
  it('gives calls to the message that they follow, or to one of their own', () => {
    const toolCalls = (...ids: string[]) => ids.map((id) => ({ id, name: 'f', arguments: '{}' }));
    expect(
      messagesOf([said('Well.'), call('a'), call('b'), output('b'), output('a'), call('c'), output('c')]),
    ).toEqual([
      { role: 'assistant', content: 'Well.', toolCalls: toolCalls('a', 'b') },
      { role: 'tool', content: 'b', toolCallId: 'b' },
      { role: 'tool', content: 'a', toolCallId: 'a' },
      { role: 'assistant', content: '', toolCalls: toolCalls('c') },
      { role: 'tool', content: 'c', toolCallId: 'c' },
    ]);
  });

  it('leaves out calls that were cut off, so that a conversation can go on after one', () => {
    expect(messagesOf([said('Well.'), call('a', 'incomplete')])).toEqual([
      { role: 'assistant', content: 'Well.' },
    ]);
  });

  it('refuses calls without an output, outputs without a call, and more calls than there can be', () => {
    expect(() => messagesOf([call('a')])).toThrow("no tool output found for the function call 'a'");
    expect(() => messagesOf([output('a')])).toThrow("'call_id' 'a'");
    expect(() => messagesOf([output('x'.repeat(200))])).toThrow(/'x{64}\.\.\.'/);
    const many = Array.from({ length: 2 ** 16 }, (_, index) => call(`${index}`));
    const begun = performance.now();
    expect(() => messagesOf(many)).toThrow('at most 1024 calls');
    expect(performance.now() - begun).toBeLessThan(1_000);
  });
});

it('a call’s arguments nest no deeper than a body may', () => {
  const item = (levels: number) =>
    itemOf(
      { type: 'function_call', call_id: 'c', name: 'f', arguments: '['.repeat(levels) + ']'.repeat(levels) },
      3,
    );
  expect(item(100)).toMatchObject({ type: 'function_call' });
  expect(() => item(101)).toThrow(
    expect.objectContaining({ code: 'json_too_deep', param: 'input[3].arguments' }),
  );
});
