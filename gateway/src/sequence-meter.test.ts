import { expect, it } from 'vitest';
import { SequenceMeter, type SequenceMetrics } from './sequence-meter.ts';

it('tells with each time the trace that it is of', () => {
  const observed: [name: string, traceId: string | null][] = [];
  const metrics: SequenceMetrics = {
    count: () => {},
    observe: (name, _, traceId) => observed.push([name, traceId]),
    countFinished: () => {},
  };
  const usage = { promptTokens: 3, completionTokens: 2, cachedPromptTokens: 0 };
  for (const traceId of ['4bf92f3577b34da6a3ce929d0e0e4736', null]) {
    observed.length = 0;
    const meter = new SequenceMeter(metrics, true, traceId);
    for (const at of [1, 2]) meter.see({ type: 'delta', text: 'x', tokens: 1, logprobs: null }, at);
    meter.see({ type: 'finish', reason: 'stop', stopReason: null, usage, queuedSeconds: 0 }, 3);
    meter.end();
    expect(observed).toEqual(
      [
        'firstToken',
        'interToken',
        'promptLength',
        'generationLength',
        'endToEnd',
        'queueTime',
        'perOutputToken',
      ].map((name) => [name, traceId]),
    );
  }
});
