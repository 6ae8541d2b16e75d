import type { TokenLogprobs, ToolCallDelta } from '@polylora/engine';
import { describe, expect, it } from 'vitest';
import type { ChoiceEvent } from '../generation.ts';
import { type ResponseHead, responseEvents, wholeResponse } from './responses-answer.ts';

const HEAD = { id: 'resp_1', object: 'response' } as ResponseHead;

type Delta = {
  text?: string;
  toolCalls?: readonly ToolCallDelta[];
  logprobs?: readonly TokenLogprobs[] | null;
};

function piece(
  index: number,
  more: string,
  id: string | null = null,
  name: string | null = null,
): ToolCallDelta {
  return { index, id, name, arguments: more };
}

function logprob(text: string): TokenLogprobs {
  return { id: 1, text, bytes: [...Buffer.from(text)], logprob: -1, top: [] };
}

function events(
  deltas: readonly Delta[],
  reason: 'stop' | 'length' | 'tool_calls' = 'tool_calls',
): ChoiceEvent[] {
  const usage = { promptTokens: 1, completionTokens: 2, cachedPromptTokens: 0 };
  return [
    ...deltas.map(({ text = '', toolCalls = [], logprobs = null }: Delta) => ({
      choice: 0,
      event: { type: 'delta' as const, text, tokens: 1, logprobs, toolCalls },
    })),
    { choice: 0, event: { type: 'finish', reason, stopReason: null, usage, queuedSeconds: 0 } },
  ];
}

/** What an answer comes to, which its events must come to as well. */
async function outputOf(given: readonly ChoiceEvent[]) {
  const { output } = wholeResponse(given, HEAD);
  async function* source() {
    yield* given;
  }
  const built: Record<string, unknown>[] = [];
  const pieces = new Map<unknown, string>();
  const open = new Set<unknown>();
  for await (const event of responseEvents(source(), HEAD, async () => {})) {
    const {
      type,
      item,
      item_id,
      output_index: place,
      delta,
    } = event as unknown as {
      readonly type: string;
      readonly item: Record<string, unknown>;
      readonly item_id: string;
      readonly output_index: number;
      readonly delta: string;
    };
    if (type === 'response.output_item.added') {
      expect(place).toBe(built.push(item) - 1);
      open.add(item.id);
    }
    if (type.endsWith('.delta')) {
      expect(open).toContain(item_id);
      pieces.set(item_id, (pieces.get(item_id) ?? '') + delta);
    }
    if (type === 'response.output_item.done') {
      expect(open.delete(item.id)).toBe(true);
      expect(built[place]?.id).toBe(item.id);
      if (item.type === 'function_call') expect(pieces.get(item.id) ?? '').toBe(item.arguments);
      built[place] = item;
    }
  }
  expect(open.size).toBe(0);
  const withoutIds = (items: readonly object[]) =>
    items.map((item) => ({ ...item, id: '', ...('call_id' in item ? { call_id: '' } : {}) }));
  expect(withoutIds(built)).toEqual(withoutIds(output));
  return output.map((item) =>
    item.type === 'message'
      ? [item.status, item.content.map(({ text }) => text).join('')]
      : [item.status, item.name, item.arguments],
  );
}

describe('an answer with calls', () => {
  it.each<[string, readonly Delta[], readonly unknown[]]>([
    [
      'one after the other, after text',
      [
        { text: 'Let me look.' },
        { toolCalls: [piece(0, '', 'a', 'f')] },
        { toolCalls: [piece(0, '{"x"')] },
        { toolCalls: [piece(0, ':1}')] },
        { toolCalls: [piece(1, '{}', 'b', 'g')] },
      ],
      [
        ['completed', 'Let me look.'],
        ['completed', 'f', '{"x":1}'],
        ['completed', 'g', '{}'],
      ],
    ],
    [
      'in several pieces at once',
      [{ toolCalls: [piece(0, '', 'a', 'f'), piece(0, '{"x"'), piece(0, ':1}'), piece(1, '{}', 'b', 'g')] }],
      [
        ['completed', 'f', '{"x":1}'],
        ['completed', 'g', '{}'],
      ],
    ],
    [
      'without ids',
      [{ toolCalls: [piece(0, '{"a":1}', null, 'f'), piece(1, '{"b":2}', null, 'g')] }],
      [
        ['completed', 'f', '{"a":1}'],
        ['completed', 'g', '{"b":2}'],
      ],
    ],
    [
      'in turns',
      [
        { toolCalls: [piece(0, '', 'a', 'f')] },
        { toolCalls: [piece(1, '', 'b', 'g')] },
        { toolCalls: [piece(0, '{"x":1}')] },
        { toolCalls: [piece(1, '{"y":2}')] },
      ],
      [
        ['completed', 'f', '{"x":1}'],
        ['completed', 'g', '{"y":2}'],
      ],
    ],
    [
      'with the id on every piece',
      [{ toolCalls: [piece(0, '{"x"', 'a', 'f')] }, { toolCalls: [piece(0, ':1}', 'a')] }],
      [['completed', 'f', '{"x":1}']],
    ],
    [
      'with the name in a later piece',
      [{ toolCalls: [piece(0, '{', 'a')] }, { toolCalls: [piece(0, '}', null, 'f')] }],
      [['completed', 'f', '{}']],
    ],
    [
      'with text in between and beside',
      [
        { toolCalls: [piece(0, '{"a"', 'a', 'f')] },
        { text: '\n' },
        { text: 'Done.', toolCalls: [piece(0, ':1}')] },
      ],
      [
        ['completed', 'f', '{"a":1}'],
        ['completed', '\nDone.'],
      ],
    ],
    [
      'whose hidden tokens have logprobs',
      [
        { logprobs: [logprob('<tool_call>')] },
        { logprobs: [logprob('{"name"')] },
        { toolCalls: [piece(0, '{}', 'a', 'f')], logprobs: [logprob('{}')] },
      ],
      [['completed', 'f', '{}']],
    ],
  ])('%s', async (_, deltas, expected) => {
    expect(await outputOf(events(deltas))).toEqual(expected);
  });

  it('that are cut off are incomplete, and those that were whole are not', async () => {
    const cut = events(
      [{ toolCalls: [piece(0, '{}', 'a', 'f')] }, { toolCalls: [piece(1, '{"x', 'b', 'g')] }],
      'length',
    );
    expect(await outputOf(cut)).toEqual([
      ['completed', 'f', '{}'],
      ['incomplete', 'g', '{"x'],
    ]);
    expect(wholeResponse(cut, HEAD).status).toBe('incomplete');
  });
});

it('an answer of nothing is an empty message, and logprobs of tokens without text are kept with the text', async () => {
  expect(await outputOf(events([], 'stop'))).toEqual([['completed', '']]);
  const halves = [
    { logprobs: [logprob('a')] },
    { text: 'é', logprobs: [logprob('b')] },
    { logprobs: [logprob('c')] },
  ];
  const [message] = wholeResponse(events(halves, 'stop'), HEAD).output;
  expect(
    message?.type === 'message' ? message.content[0]?.logprobs?.map(({ token }) => token) : null,
  ).toEqual(['a', 'b', 'c']);
  expect(await outputOf(events(halves, 'stop'))).toEqual([['completed', 'é']]);
});
