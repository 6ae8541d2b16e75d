import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GREEDY } from '../../test/support/sampling.ts';
import type { AdapterLoad } from './memory/adapter-residency.ts';
import { type Schedule, Scheduler } from './scheduler.ts';
import { Sequence } from './sequence.ts';

let handles = 0;
function sequence(promptLength: number, maxTokens: number, adapter: string | null = null): Sequence {
  const handle = handles++;
  return new Sequence({
    id: `s${handle}`,
    handle,
    prompt: new Uint32Array(promptLength),
    adapter,
    sampling: GREEDY,
    maxTokens,
  });
}

/** Adapters take as many pages as the number in their name says. */
function scheduler(options: { pageCount: number; maxBatchTokens?: number; maxRunning?: number }) {
  const evicted: number[] = [];
  const made = new Scheduler({
    maxBatchTokens: 64,
    maxRunning: 100,
    adapterPages: (digest) => Number(digest.slice(1)),
    onEvictAdapter: (slot) => evicted.push(slot),
    ...options,
  });
  return { scheduler: made, evicted };
}

/** Books a step as the engine does: computes, appends a token where a sequence is complete, ends full ones. */
function run(made: Scheduler, { batch }: Schedule): void {
  for (const scheduled of batch) made.computed(scheduled);
  for (const { sequence: each } of batch) {
    if (each.computed < each.length) continue;
    each.output.push(7);
    if (each.output.length === each.maxTokens) made.remove(each);
  }
}

describe('Scheduler', () => {
  it('lets decodes go first and cuts a long prompt to the budget', () => {
    const { scheduler: made } = scheduler({ pageCount: 100, maxBatchTokens: 10 });
    const short = sequence(4, 5);
    made.add(short);
    run(made, made.schedule());
    const long = sequence(25, 1);
    made.add(long);
    const rows = [];
    for (let step = 0; step < 3; step++) {
      const schedule = made.schedule();
      rows.push(schedule.batch.map((part) => [part.sequence, part.rows]));
      run(made, schedule);
    }
    expect(rows).toEqual([
      [
        [short, 1],
        [long, 9],
      ],
      [
        [short, 1],
        [long, 9],
      ],
      [
        [short, 1],
        [long, 7],
      ],
    ]);
  });

  it('lets a batch that only decodes run on until a sequence is full, taking blocks ahead', () => {
    const { scheduler: made } = scheduler({ pageCount: 10 });
    const [short, long] = [sequence(15, 5), sequence(20, 40)];
    for (const each of [short, long]) made.add(each);
    const prefill = made.schedule();
    expect(prefill.steps).toBe(1);
    run(made, prefill);
    expect(made.schedule().steps).toBe(4);
    // Their tokens so far fill a block and two: the next ones have room.
    expect([short.blocks.length, long.blocks.length]).toEqual([2, 2]);
    while (short.output.length < 5) run(made, made.schedule());
    expect(made.schedule().steps).toBe(16);
    expect(long.blocks.length * 16).toBeGreaterThanOrEqual(long.computed + 16);
    made.checkIntegrity();
  });

  it('takes no block ahead that somebody waits for or that is not there', () => {
    const { scheduler: made } = scheduler({ pageCount: 3 });
    const first = sequence(30, 18);
    made.add(first);
    run(made, made.schedule());
    expect(made.schedule().steps).toBe(16);
    expect(made.pool.freeCount).toBe(0);
    made.remove(first);
    const [older, younger] = [sequence(14, 10), sequence(14, 10)];
    made.add(older);
    made.add(younger);
    run(made, made.schedule());
    const waiting = sequence(20, 10);
    made.add(waiting);
    // Two blocks with room for two tokens each; the third page is for the one that waits, which needs two.
    expect(made.schedule().steps).toBe(2);
    expect(made.pool.freeCount).toBe(1);
  });

  it('does not run on while a prompt is being read or sequences wait for their turn', () => {
    const { scheduler: made } = scheduler({ pageCount: 100, maxBatchTokens: 4 });
    const [decoding, reading] = [sequence(3, 20), sequence(12, 20)];
    made.add(decoding);
    run(made, made.schedule());
    made.add(reading);
    for (let step = 0; step < 4; step++) {
      const schedule = made.schedule();
      expect(schedule.steps).toBe(1);
      run(made, schedule);
    }
    expect(made.schedule().steps).toBe(15);
  });

  it('preempts the youngest when pages run out, and everything still completes', () => {
    const { scheduler: made } = scheduler({ pageCount: 4 });
    const [older, younger] = [sequence(30, 20), sequence(30, 20)];
    made.add(older);
    made.add(younger);
    while (older.output.length < 20) run(made, made.schedule());
    expect(made.preemptions).toBe(1);
    expect(younger.computed).toBeLessThan(younger.length);
    for (let step = 0; step < 100 && !made.isIdle; step++) run(made, made.schedule());
    expect(younger.output).toHaveLength(20);
    expect(made.pool.freeCount).toBe(4);
  });

  it('passes over a request whose adapter is being read, and reads each adapter once', () => {
    const { scheduler: made } = scheduler({ pageCount: 100 });
    const [first, second, base] = [sequence(5, 3, 'a3'), sequence(5, 3, 'a3'), sequence(5, 3)];
    for (const each of [first, second, base]) made.add(each);
    const schedule = made.schedule();
    expect(schedule.loads.map((load) => load.digest)).toEqual(['a3']);
    expect(schedule.batch.map((part) => part.sequence)).toEqual([base]);
    run(made, schedule);
    made.adapters.loaded('a3');
    const next = made.schedule();
    expect(next.loads).toEqual([]);
    expect(next.batch.map((part) => part.sequence)).toEqual([base, first, second]);
  });

  it('evicts idle adapters for KV blocks and for other adapters, never one in use', () => {
    const { scheduler: made, evicted } = scheduler({ pageCount: 10 });
    const serve = (digest: string) => {
      const each = sequence(5, 1, digest);
      made.add(each);
      for (const load of made.schedule().loads) made.adapters.loaded(load.digest);
      run(made, made.schedule());
    };
    serve('a4');
    serve('b4');
    expect(made.adapters.resident).toEqual(['a4', 'b4']);
    const user = sequence(5, 50, 'b4');
    made.add(user);
    run(made, made.schedule());
    const large = sequence(70, 1);
    made.add(large);
    for (let step = 0; step < 2; step++) run(made, made.schedule());
    expect(large.output).toHaveLength(1);
    expect(made.adapters.resident).toEqual(['b4']);
    expect(evicted).toHaveLength(1);
    made.add(sequence(5, 1, 'c6'));
    expect(made.schedule().loads).toEqual([]);
    made.remove(user);
    expect(made.schedule().loads.map((load) => load.digest)).toEqual(['c6']);
    made.checkIntegrity();
  });

  it('knows what can never fit', () => {
    const { scheduler: made } = scheduler({ pageCount: 10 });
    expect(made.canEverFit(160, null)).toBe(true);
    expect(made.canEverFit(161, null)).toBe(false);
    expect(made.canEverFit(96, 'a4')).toBe(true);
    expect(made.canEverFit(97, 'a4')).toBe(false);
  });

  it('finishes everything it accepted, with its books in order, whatever happens', () => {
    const request = fc.record({
      prompt: fc.integer({ min: 1, max: 60 }),
      tokens: fc.integer({ min: 1, max: 40 }),
      adapter: fc.constantFrom(null, 'a1', 'b2', 'c3', 'd4'),
      arrives: fc.nat(60),
      cancelled: fc.option(fc.nat(80)),
    });
    const world = fc.record({
      pageCount: fc.integer({ min: 6, max: 30 }),
      maxBatchTokens: fc.integer({ min: 1, max: 70 }),
      maxRunning: fc.integer({ min: 1, max: 8 }),
      loadSteps: fc.nat(4),
      failing: fc.boolean(),
    });
    fc.assert(
      fc.property(world, fc.array(request, { maxLength: 25 }), (options, requests) => {
        const { scheduler: made } = scheduler(options);
        const waiting = requests
          .filter(({ prompt, tokens, adapter }) => made.canEverFit(prompt + tokens, adapter))
          .map((spec) => ({ ...spec, sequence: sequence(spec.prompt, spec.tokens, spec.adapter) }));
        const live = new Set<Sequence>();
        const loading: { load: AdapterLoad; due: number }[] = [];
        for (let step = 0; step < 5000; step++) {
          for (const spec of waiting.filter(({ arrives }) => arrives === step)) {
            made.add(spec.sequence);
            live.add(spec.sequence);
          }
          for (const spec of waiting.filter(({ cancelled }) => cancelled === step)) {
            if (live.delete(spec.sequence)) made.remove(spec.sequence);
          }
          for (const { load } of loading.filter(({ due }) => due === step)) {
            if (options.failing && load.digest === 'd4') {
              made.adapters.failed(load.digest);
              for (const each of [...live].filter(({ adapter }) => adapter === load.digest)) {
                live.delete(each);
                made.remove(each);
              }
            } else {
              made.adapters.loaded(load.digest);
            }
          }
          const schedule = made.schedule();
          const rows = schedule.batch.reduce((sum, part) => sum + part.rows, 0);
          expect(rows).toBeLessThanOrEqual(options.maxBatchTokens);
          expect(made.running.length).toBeLessThanOrEqual(options.maxRunning);
          for (const load of schedule.loads) loading.push({ load, due: step + 1 + options.loadSteps });
          run(made, schedule);
          made.checkIntegrity();
          for (const each of [...live]) if (each.output.length === each.maxTokens) live.delete(each);
          if (step > 100 && made.isIdle) break;
        }
        expect(live.size).toBe(0);
        expect(made.pool.count('kv')).toBe(0);
      }),
      { numRuns: 200 },
    );
  });
});
