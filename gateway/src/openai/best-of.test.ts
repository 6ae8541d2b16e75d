import { describe, expect, it } from 'vitest';
import type { ChoiceEvent } from '../generation.ts';
import { bestOf } from './best-of.ts';

function delta(choice: number, ...logprobs: readonly number[]): ChoiceEvent {
  const tokens = logprobs.map((logprob) => ({ id: 0, text: 'x', bytes: [120], logprob, top: [] }));
  return { choice, event: { type: 'delta', text: `${choice}`, tokens: tokens.length, logprobs: tokens } };
}

function texts(events: readonly ChoiceEvent[]) {
  return events.map(({ choice, event }) => [choice, event.type === 'delta' ? event.text : '']);
}

describe('bestOf', () => {
  it('keeps the likeliest answers of each prompt by the mean of their tokens, the best first', () => {
    const events = [
      delta(3, -1),
      delta(0, -3),
      // Less likely together, likelier each.
      delta(1, -1, -1),
      delta(2, -1.5),
      delta(1, -1, -1, -1),
      delta(4, -9),
      delta(5, -0.5),
    ];
    expect(texts(bestOf(events, { made: 3, wanted: 2 }))).toEqual([
      [0, '1'],
      [0, '1'],
      [1, '2'],
      [2, '5'],
      [3, '3'],
    ]);
  });

  it('keeps the order of equals', () => {
    expect(texts(bestOf([delta(1, -1), delta(0, -1)], { made: 2, wanted: 1 }))).toEqual([[0, '0']]);
  });
});
