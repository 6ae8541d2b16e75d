import type { RequestTiming } from '@polylora/engine';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { BackendEvent } from '../backends/backend.ts';
import { Timeline } from './timeline.ts';

const usage = { promptTokens: 3, completionTokens: 2, cachedPromptTokens: 0 };
const FINISH: BackendEvent = { type: 'finish', reason: 'stop', stopReason: null, usage, queuedSeconds: 0 };
const TIMING: RequestTiming = { queuedSeconds: 0.03, adapterLoad: null, prefillSeconds: 0.02 };

function delta(timing?: RequestTiming): BackendEvent {
  const event = { type: 'delta', text: 'x', tokens: 1, logprobs: null } as const;
  return timing === undefined ? event : { ...event, timing };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

function wait(milliseconds: number): void {
  vi.advanceTimersByTime(milliseconds);
}

/** Names with milliseconds from the arrival and how long. */
function told(timeline: Timeline): [name: string, start: number, duration: number][] {
  return timeline
    .phases()
    .map(({ name, from, until }) => [name, Math.round(from - timeline.arrived), Math.round(until - from)]);
}

describe('a timeline', () => {
  it('puts what the engine measured before the first token as it was seen here', () => {
    const timeline = new Timeline(performance.now());
    wait(5);
    timeline.send('engine');
    // On its way to the engine and back: 10 ms that the engine does not see.
    wait(60);
    timeline.take(delta({ ...TIMING, adapterLoad: { afterSeconds: 0.004, seconds: 0.02 } }));
    wait(40);
    timeline.take(delta());
    timeline.take(FINISH);
    wait(3);
    timeline.end();
    wait(1000);
    expect(told(timeline)).toEqual([
      ['admission', 0, 5],
      ['queue', 15, 30],
      ['adapter_load', 19, 20],
      ['prefill', 45, 20],
      ['decode', 65, 40],
    ]);
    expect([timeline.finishReasons, timeline.computedAt, timeline.endedAt]).toEqual([
      ['stop'],
      timeline.arrived + 105,
      timeline.arrived + 108,
    ]);
  });

  it('never reaches beyond what was seen here, whatever is measured elsewhere', () => {
    const timeline = new Timeline(performance.now());
    timeline.send('engine');
    wait(10);
    timeline.take(
      delta({ queuedSeconds: 5, adapterLoad: { afterSeconds: 0.001, seconds: 9 }, prefillSeconds: 0.004 }),
    );
    timeline.end();
    expect(told(timeline)).toEqual([
      ['queue', 0, 6],
      ['adapter_load', 1, 5],
      ['prefill', 6, 4],
    ]);
  });

  it('has a lookup, and nothing after it where that found the answer', () => {
    const timeline = new Timeline(performance.now());
    wait(1);
    timeline.lookUp();
    wait(2);
    timeline.lookedUp();
    wait(3);
    timeline.end();
    expect(told(timeline)).toEqual([
      ['admission', 0, 1],
      ['cache', 1, 2],
    ]);
  });

  it("counts the time with another's answer to the cache", () => {
    const timeline = new Timeline(performance.now());
    timeline.lookUp();
    wait(2);
    timeline.share();
    wait(30);
    timeline.end();
    expect(told(timeline)).toEqual([['cache', 0, 32]]);
  });

  it('is one of another server where that computes, with its stream within', () => {
    const timeline = new Timeline(performance.now());
    wait(1);
    timeline.send('upstream');
    wait(20);
    timeline.take(delta());
    wait(30);
    timeline.take(FINISH);
    timeline.end();
    expect(told(timeline)).toEqual([
      ['admission', 0, 1],
      ['upstream', 1, 50],
      ['decode', 21, 30],
    ]);
    const whole = new Timeline(performance.now());
    whole.send('upstream');
    wait(9);
    whole.take(delta(), true);
    whole.take(FINISH, true);
    whole.end();
    expect([told(whole), whole.firstAt]).toEqual([[['upstream', 0, 9]], null]);
  });

  it('goes on until now as long as it has not ended', () => {
    const timeline = new Timeline(performance.now());
    wait(4);
    expect(told(timeline)).toEqual([['admission', 0, 4]]);
    timeline.send('engine');
    wait(6);
    expect(told(timeline)).toEqual([
      ['admission', 0, 4],
      ['queue', 4, 6],
    ]);
    timeline.take(delta({ ...TIMING, queuedSeconds: 0.001, prefillSeconds: 0.005 }));
    wait(2);
    expect(told(timeline).slice(1)).toEqual([
      ['queue', 4, 1],
      ['prefill', 5, 5],
      ['decode', 10, 2],
    ]);
  });

  it('takes the first of several choices to begin, and the last to end', () => {
    const timeline = new Timeline(performance.now());
    timeline.send('engine');
    wait(10);
    timeline.take(delta({ queuedSeconds: 0.002, adapterLoad: null, prefillSeconds: 0.008 }));
    wait(10);
    timeline.take(delta({ queuedSeconds: 0.012, adapterLoad: null, prefillSeconds: 0.008 }));
    timeline.take(FINISH);
    wait(10);
    timeline.take({ ...FINISH, reason: 'length' });
    timeline.end();
    expect(told(timeline)).toEqual([
      ['queue', 0, 2],
      ['prefill', 2, 8],
      ['decode', 10, 20],
    ]);
    expect(timeline.finishReasons).toEqual(['stop', 'length']);
  });

  it('is about its own client: what is made for others later is none of it', () => {
    const timeline = new Timeline(performance.now());
    timeline.lookUp();
    wait(3);
    timeline.end();
    wait(5);
    timeline.lookedUp();
    timeline.send('engine');
    timeline.take(delta(TIMING));
    timeline.take(FINISH);
    expect(told(timeline)).toEqual([['cache', 0, 3]]);
    expect([timeline.sentAt, timeline.firstAt, timeline.finishReasons]).toEqual([null, null, []]);
  });
});
