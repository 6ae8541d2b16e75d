/** What the engine tells of how a request began. */
import { join } from 'node:path';
import type { Engine, GenerationEvent, RequestTiming } from '@polylora/engine';
import { POOLED_SAMPLING } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addAdapter, FIXTURES, GREEDY, ONE_TENANT, startTinyEngine, tokens } from '../support/engine.ts';

const MODEL = 'llama-tied';
const PROMPT = tokens([5, 17, 42, 99, 7]);

let engine: Engine;
beforeAll(async () => {
  engine = await startTinyEngine(MODEL);
});
afterAll(() => engine.close());

let count = 0;

async function events(
  request: Partial<Parameters<Engine['generate']>[0]> = {},
): Promise<{ events: GenerationEvent[]; seconds: number }> {
  count += 1;
  const began = performance.now();
  const read: GenerationEvent[] = [];
  const sampling = { ...GREEDY, maxTokens: 4, ignoreEos: true };
  const full = { id: `timing-${count}`, prompt: PROMPT, adapter: null, sampling, scheduling: ONE_TENANT };
  for await (const event of engine.generate({ ...full, ...request })) read.push(event);
  return { events: read, seconds: (performance.now() - began) / 1000 };
}

function timings(read: readonly GenerationEvent[]): [type: string, timing: RequestTiming][] {
  return read.flatMap((event) =>
    'timing' in event && event.timing !== undefined ? [[event.type, event.timing]] : [],
  );
}

describe('how a request began', () => {
  it('comes once, with the first token, and lies within what was seen of it', async () => {
    const answer = await events();
    const [[type, timing], ...others] = timings(answer.events) as [[string, RequestTiming]];
    expect([type, others]).toEqual(['delta', []]);
    expect(answer.events.find((event) => event.type === 'delta')).toHaveProperty('timing');
    expect(timing.adapterLoad).toBeNull();
    expect(timing.prefillSeconds).toBeGreaterThan(0);
    expect(timing.queuedSeconds).toBeGreaterThanOrEqual(0);
    expect(timing.queuedSeconds + timing.prefillSeconds).toBeLessThanOrEqual(answer.seconds);
    const finish = answer.events.at(-1);
    expect(finish).toMatchObject({ type: 'finish', queuedSeconds: timing.queuedSeconds });
  });

  it('tells of the wait for an adapter to whoever waited, and to nobody else', async () => {
    const adapter = await addAdapter(engine, join(FIXTURES, 'models', MODEL, 'adapter'));
    const both = await Promise.all([events({ adapter }), events({ adapter })]);
    for (const answer of both) {
      const [[, timing]] = timings(answer.events) as [[string, RequestTiming]];
      const { afterSeconds, seconds } = timing.adapterLoad ?? { afterSeconds: -1, seconds: -1 };
      expect(afterSeconds).toBeGreaterThanOrEqual(0);
      expect(seconds).toBeGreaterThan(0);
      expect(afterSeconds + seconds).toBeLessThanOrEqual(timing.queuedSeconds);
    }
    const [[, later]] = timings((await events({ adapter })).events) as [[string, RequestTiming]];
    expect(later.adapterLoad).toBeNull();
  });

  it('comes with the end where nothing is generated', async () => {
    const pooled = timings((await events({ sampling: POOLED_SAMPLING, pooled: true })).events);
    expect(pooled.map(([type]) => type)).toEqual(['finish']);
    expect(pooled[0]?.[1].prefillSeconds).toBeGreaterThan(0);
  });
});
