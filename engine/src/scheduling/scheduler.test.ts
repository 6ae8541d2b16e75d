import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GREEDY } from '../../../test/support/sampling.ts';
import type { AdapterLoad } from '../memory/adapter-residency.ts';
import { ExpectedSaving } from '../memory/eviction.ts';
import type { Priority } from '../types.ts';
import { CostModel } from './cost-model.ts';
import { type Schedule, Scheduler, type SchedulerOptions } from './scheduler.ts';
import { BLOCK_TOKENS, Sequence, type SequenceInit } from './sequence.ts';
import { LONGEST_MATCH, MOST_DRAFTS } from './speculation.ts';

let handles = 0;
function sequence(
  promptLength: number,
  maxTokens: number,
  adapter: string | null = null,
  other: Partial<SequenceInit> = {},
): Sequence {
  const handle = handles++;
  return new Sequence({
    id: `s${handle}`,
    handle,
    prompt: new Uint32Array(promptLength),
    adapter,
    sampling: GREEDY,
    maxTokens,
    tenant: 'a',
    weight: 1,
    priority: 'normal',
    prefixRoot: null,
    lengthKeys: [''],
    arrived: 0,
    deadline: null,
    ...other,
  });
}

/** Adapters take as many pages as the number in their name says; streams do not slow prompts down. */
function scheduler(options: Partial<SchedulerOptions> & { pageCount: number }) {
  const evicted: number[] = [];
  const made = new Scheduler({
    maxBatchTokens: 64,
    maxRunning: 100,
    maxBatchAdapters: null,
    adapterPoolPages: null,
    tpotTargetSeconds: 1000,
    speculation: 'off',
    costs: new CostModel({ attentionScale: 1000 }),
    policy: new ExpectedSaving(),
    adapterPages: (digest) => Number(digest.slice(1)),
    onEvictAdapter: (slot) => evicted.push(slot),
    ...options,
  });
  let time = 0;
  return { scheduler: made, evicted, schedule: () => made.schedule(time++) };
}

/**
 * Books a step as the engine does: computes, appends a token where a sequence is complete, ends full ones. Of what may be
 * drafted, a sequence's blocks hold and its length allows, `right` tells how many were right.
 */
function run(made: Scheduler, { batch, drafts }: Schedule, right: (most: number) => number = () => 0): void {
  for (const scheduled of batch) made.computed(scheduled);
  let left = drafts?.most ?? 0;
  for (const { sequence: each } of batch) {
    if (each.computed < each.length) continue;
    each.output.push(7);
    const room = Math.min(each.mostComputed, each.blocks.length * BLOCK_TOKENS) - each.computed;
    const drafted = Math.min(left, room, MOST_DRAFTS);
    left -= drafted;
    for (let index = drafted > 0 ? right(drafted) : 0; index > 0; index--) {
      made.computed(each.decode);
      each.output.push(7);
    }
    if (each.output.length >= each.maxTokens) made.remove(each, true);
  }
}

/** Runs until nothing is left, adapters being there at once, and tells how many steps that took. */
function finish(made: Scheduler, schedule: () => Schedule): number {
  for (let step = 1; ; step++) {
    const next = schedule();
    for (const { digest } of next.loads) made.adapterLoaded(digest);
    run(made, next);
    made.checkIntegrity();
    if (made.isIdle) return step;
    if (step > 10_000) throw new Error('it does not end');
  }
}

describe('Scheduler', () => {
  it('lets decodes go first and cuts a long prompt to the budget', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 100, maxBatchTokens: 10 });
    const short = sequence(4, 5);
    made.add(short);
    run(made, schedule());
    const long = sequence(25, 1);
    made.add(long);
    const rows = [];
    for (let step = 0; step < 3; step++) {
      const next = schedule();
      rows.push(next.batch.map((part) => [part.sequence, part.rows]));
      run(made, next);
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

  it('drafts while all decode, takes blocks for it where they are free, and charges what was right', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 12, speculation: 'always' });
    const [first, second] = [sequence(16, 60), sequence(16, 60)];
    made.add(first);
    made.add(second);
    const prefill = schedule();
    expect(prefill.drafts).toBeNull();
    run(made, prefill);
    const before = made.shares[0]!.counter;
    const decode = schedule();
    expect(decode.drafts).toMatchObject({ most: 62 });
    run(made, decode, (most) => most - 3);
    expect([first, second].map(({ output, computed }) => [output.length, computed])).toEqual([
      [6, 21],
      [6, 21],
    ]);
    // Five tokens each, at the price of two that are read.
    expect(made.shares[0]!.counter - before).toBe(20);
    // Nobody is set back for drafts: what the steps themselves need is there.
    for (let step = 0; step < 4; step++) run(made, schedule(), (most) => most);
    expect(made.preemptions).toBe(0);
    made.checkIntegrity();
  });

  it('drafts for a few and not for many, though all matches hold', () => {
    const { scheduler: made, schedule } = scheduler({
      pageCount: 500,
      maxBatchTokens: 512,
      speculation: 'auto',
    });
    const alone = sequence(4, 100);
    made.add(alone);
    run(made, schedule());
    for (let token = 0; token < 400; token++) made.speculation.observe(alone, LONGEST_MATCH);
    expect(schedule().drafts).not.toBeNull();
    const crowd = Array.from({ length: 60 }, () => sequence(4, 100));
    for (const each of crowd) made.add(each);
    run(made, schedule());
    expect(schedule()).toMatchObject({ batch: { length: 61 }, drafts: null });
    for (const each of crowd) made.remove(each, true);
    expect(schedule().drafts).not.toBeNull();
  });

  it('drafts nothing beside prompts that are read', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 100, speculation: 'always' });
    made.add(sequence(4, 50));
    run(made, schedule());
    expect(schedule().drafts).not.toBeNull();
    made.add(sequence(500, 5));
    expect(schedule().drafts).toBeNull();
  });

  it('cuts prompts so that streams keep their pace, but never to nothing', () => {
    const costs = new CostModel({ attentionScale: 1e9, prefillTokenSeconds: 0.001 });
    const { scheduler: made, schedule } = scheduler({
      pageCount: 1000,
      maxBatchTokens: 512,
      tpotTargetSeconds: 0.0505,
      costs,
    });
    const stream = sequence(4, 500);
    made.add(stream);
    run(made, schedule());
    for (let step = 0; step < 200; step++) costs.stepped({ decodeRows: 1, prefillWork: 0, seconds: 0.02 });
    made.add(sequence(5000, 1));
    const cut = schedule();
    expect(cut.batch.map(({ rows }) => rows)).toEqual([1, 30]);
    run(made, cut);
    for (let step = 0; step < 200; step++) costs.stepped({ decodeRows: 1, prefillWork: 0, seconds: 0.2 });
    expect(schedule().batch.map(({ rows }) => rows)).toEqual([1, 4]);
  });

  it('reads a late part of a prompt in smaller pieces, because it attends to more', () => {
    const costs = new CostModel({ attentionScale: 100 });
    for (const [work, from] of [
      [100, 0],
      [100, 1000],
      [3, 5000],
    ] as const) {
      const rows = costs.rowsWithin(work, from);
      expect(costs.prefillWork(from, rows)).toBeLessThanOrEqual(work);
      expect(costs.prefillWork(from, rows + 1)).toBeGreaterThan(work);
    }
  });

  it('lets a batch that only decodes run on until a sequence is full, taking blocks ahead', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 10 });
    const [short, long] = [sequence(15, 5), sequence(20, 40)];
    for (const each of [short, long]) made.add(each);
    const prefill = schedule();
    expect(prefill.steps).toBe(1);
    run(made, prefill);
    expect(schedule().steps).toBe(4);
    // Their tokens so far fill a block and two: the next ones have room.
    expect([short.blocks.length, long.blocks.length]).toEqual([2, 2]);
    while (short.output.length < 5) run(made, schedule());
    expect(schedule().steps).toBe(16);
    expect(long.blocks.length * 16).toBeGreaterThanOrEqual(long.computed + 16);
    made.checkIntegrity();
  });

  it('takes no block ahead that somebody waits for', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 4, maxRunning: 2 });
    const [older, younger] = [sequence(14, 10), sequence(14, 10)];
    for (const each of [older, younger]) made.add(each);
    run(made, schedule());
    made.add(sequence(20, 10));
    // Two blocks with room for two tokens each; the other pages are for the one that waits.
    expect(schedule().steps).toBe(2);
    expect(made.memory.pool.freeCount).toBe(2);
  });

  it('preempts when pages run out, and everything still completes', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 4 });
    for (let answers = 0; answers < 8; answers++) made.lengths.observe([''], 2);
    const [older, younger] = [sequence(30, 20), sequence(30, 20)];
    made.add(older);
    made.add(younger);
    finish(made, schedule);
    expect([older.output.length, younger.output.length]).toEqual([20, 20]);
    expect(made.preemptions).toBeGreaterThan(0);
    expect(made.memory.pool.freeCount).toBe(4);
  });

  it('admits what will fit when answers are as long as they have been', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 8 });
    for (let answers = 0; answers < 8; answers++) made.lengths.observe([''], 50);
    const asks = [sequence(16, 100), sequence(16, 100), sequence(16, 100)];
    for (const each of asks) made.add(each);
    // Four or five pages each in the end: one, and no second.
    expect(schedule().batch.map((part) => part.sequence)).toEqual([asks[0]]);
    made.remove(asks[0]!);
    for (let answers = 0; answers < 100; answers++) made.lengths.observe([''], 10);
    expect(schedule().batch.map((part) => part.sequence)).toEqual([asks[1], asks[2]]);
  });

  it('reads an adapter once for all who wait for it, lets others pass, and starts them when it is there', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 20 });
    const [first, second, base] = [sequence(5, 3, 'a3'), sequence(5, 3, 'a3'), sequence(5, 3)];
    for (const each of [first, second, base]) made.add(each);
    const step = schedule();
    expect(step.loads).toHaveLength(1);
    expect(step.loads[0]!.pages).toHaveLength(3);
    expect(step.batch.map((part) => part.sequence)).toEqual([base]);
    run(made, step);
    expect(schedule().loads).toEqual([]);
    made.adapterLoaded('a3');
    expect(schedule().batch.map((part) => part.sequence)).toEqual([base, first, second]);
  });

  it('reads ahead for those who cannot run yet, a few at a time', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 100, maxRunning: 1 });
    made.add(sequence(5, 50));
    run(made, schedule());
    for (const adapter of ['a1', 'b1', 'c1', 'd1', 'e1']) made.add(sequence(5, 5, adapter));
    expect(schedule().loads.map(({ digest }) => digest)).toEqual(['a1', 'b1', 'c1', 'd1']);
    made.adapterLoaded('a1');
    expect(schedule().loads.map(({ digest }) => digest)).toEqual(['e1']);
  });

  it('does not read ahead into the room of adapters that others in sight wait for', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 6, maxRunning: 1 });
    made.add(sequence(5, 50, null, { priority: 'high' }));
    run(made, schedule());
    for (const adapter of ['a2', 'b2']) made.add(sequence(5, 5, adapter));
    for (const { digest } of schedule().loads) made.adapterLoaded(digest);
    made.add(sequence(5, 5, 'c2', { priority: 'high' }));
    expect(schedule().loads).toEqual([]);
    expect(made.memory.adapters.resident).toEqual(['a2', 'b2']);
  });

  it('lets more adapters than the cap in only for those who have waited', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 100, maxBatchAdapters: 1 });
    for (const adapter of ['a1', 'b1', 'a1']) made.add(sequence(5, 50, adapter));
    for (const { digest } of schedule().loads) made.adapterLoaded(digest);
    const { batch } = made.schedule(0.5);
    expect(batch.map((part) => part.sequence.adapter)).toEqual(['a1', 'a1']);
    run(made, { batch, steps: 1, drafts: null, loads: [], expired: [] });
    const adapters = made.schedule(1.5).batch.map((part) => part.sequence.adapter);
    expect(adapters).toEqual(['a1', 'a1', 'b1']);
  });

  it('evicts idle adapters for KV blocks and for other adapters, never one in use or pinned', () => {
    const { scheduler: made, schedule, evicted } = scheduler({ pageCount: 10 });
    const serve = (digest: string) => {
      made.add(sequence(5, 1, digest));
      finish(made, schedule);
    };
    serve('a4');
    serve('b4');
    expect(made.memory.adapters.resident).toEqual(['a4', 'b4']);
    const user = sequence(5, 50, 'b4');
    made.add(user);
    for (let answers = 0; answers < 8; answers++) made.lengths.observe([''], 1);
    run(made, schedule());
    const large = sequence(70, 1);
    made.add(large);
    for (let step = 0; step < 2; step++) run(made, schedule());
    expect(large.output).toHaveLength(1);
    expect(made.memory.adapters.resident).toEqual(['b4']);
    expect(evicted).toHaveLength(1);
    made.add(sequence(5, 1, 'c7'));
    expect(schedule().loads).toEqual([]);
    made.memory.adapters.pin('b4', true);
    made.remove(user);
    expect(schedule().loads).toEqual([]);
    made.memory.adapters.pin('b4', false);
    expect(schedule().loads.map((load) => load.digest)).toEqual(['c7']);
    made.checkIntegrity();
  });

  it('reads a pinned adapter before anybody asks for it', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 10 });
    made.memory.adapters.pin('a3', true);
    expect(schedule().loads.map(({ digest }) => digest)).toEqual(['a3']);
    expect(schedule().loads).toEqual([]);
  });

  it('knows what can never fit', () => {
    const { scheduler: made } = scheduler({ pageCount: 10 });
    expect(made.canEverFit(160, null)).toBe(true);
    expect(made.canEverFit(161, null)).toBe(false);
    expect(made.canEverFit(96, 'a4')).toBe(true);
    expect(made.canEverFit(97, 'a4')).toBe(false);
    made.memory.adapters.pin('b2', true);
    expect(made.canEverFit(129, null)).toBe(false);
    expect(made.canEverFit(64, 'a4')).toBe(true);
    expect(made.canEverFit(65, 'a4')).toBe(false);
    expect(made.canEverFit(128, 'b2')).toBe(true);
  });

  it('shares the blocks of equal beginnings, and computes only what is new', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 20 });
    const root = { prefixRoot: 'root' };
    made.add(sequence(40, 3, null, root));
    finish(made, schedule);
    expect(made.memory.pool.count('prefix')).toBe(2);
    const [same, other, apart] = [
      sequence(50, 3, null, root),
      sequence(50, 3, null, { prefixRoot: 'other' }),
      sequence(50, 3),
    ];
    for (const each of [same, other, apart]) made.add(each);
    const { batch } = schedule();
    expect(batch.map(({ rows }) => rows)).toEqual([18, 46]);
    expect([same.cached, other.cached]).toEqual([32, 0]);
    run(made, { batch, steps: 1, drafts: null, loads: [], expired: [] });
    made.checkIntegrity();
    finish(made, schedule);
    expect(apart.cached).toBe(0);
  });

  it('computes the last token even where all is cached, and continues answers', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 20 });
    const root = { prefixRoot: 'root' };
    const first = sequence(32, 20, null, root);
    made.add(first);
    finish(made, schedule);
    const again = sequence(32, 1, null, root);
    made.add(again);
    expect(schedule().batch.map(({ rows }) => rows)).toEqual([16]);
    const conversation = sequence(0, 1, null, {
      ...root,
      prompt: Uint32Array.from([...first.prompt, ...first.output, 9, 9]),
    });
    made.remove(again);
    made.add(conversation);
    // 32 of the prompt and 16 of the answer.
    expect(schedule().batch.map(({ rows }) => rows)).toEqual([54 - 48]);
  });

  it('joins blocks that two sequences computed side by side', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 20 });
    const root = { prefixRoot: 'root' };
    const asks = [sequence(32, 5, null, root), sequence(32, 5, null, root)];
    for (const each of asks) made.add(each);
    run(made, schedule());
    expect(asks[0]!.blocks.slice(0, 2)).toEqual(asks[1]!.blocks.slice(0, 2));
    made.checkIntegrity();
    finish(made, schedule);
    expect(made.memory.pool.count('kv')).toBe(0);
  });

  it('gives tenants equal shares however much one asks for', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 1000, maxBatchTokens: 32, maxRunning: 4 });
    const greedy = Array.from({ length: 200 }, () => sequence(32, 4, null, { tenant: 'greedy' }));
    const modest = Array.from({ length: 20 }, () => sequence(32, 4, null, { tenant: 'modest' }));
    for (const each of [...greedy, ...modest]) made.add(each);
    while (modest.some(({ output }) => output.length < 4)) run(made, schedule());
    const done = greedy.filter(({ output }) => output.length === 4).length;
    expect(done).toBeGreaterThanOrEqual(18);
    expect(done).toBeLessThanOrEqual(22);
  });

  it('weighs shares, and lets nobody save up while idle', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 1000, maxBatchTokens: 32, maxRunning: 4 });
    const of = (tenant: string, weight: number, count: number) =>
      Array.from({ length: count }, () => sequence(32, 4, null, { tenant, weight }));
    const [heavy, light] = [of('heavy', 3, 200), of('light', 1, 200)];
    for (const each of [...heavy, ...light]) made.add(each);
    const done = (all: Sequence[]) => all.filter(({ output }) => output.length === 4).length;
    while (done(light) < 20) run(made, schedule());
    expect(done(heavy) / 3).toBeGreaterThanOrEqual(18);
    expect(done(heavy) / 3).toBeLessThanOrEqual(22);
    const late = of('late', 1, 100);
    const before = done(light);
    for (const each of late) made.add(each);
    while (done(late) < 20) run(made, schedule());
    expect(done(light) - before).toBeGreaterThanOrEqual(18);
  });

  it('tells what tenants were charged whatever they weigh, of all together and of the last thousand at least', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 100 });
    const serve = (tenant: string, weight: number) => {
      made.add(sequence(4, 3, null, { tenant, weight }));
      finish(made, schedule);
    };
    // The third token is not computed.
    const each = 4 + 2 * 2;
    for (let tenant = 0; tenant < 3000; tenant++) serve(`t${tenant}`, 1 + (tenant % 3));
    const { total, byTenant } = made.service;
    expect(total).toBe(3000 * each);
    expect(byTenant.size).toBeLessThan(1200);
    for (let tenant = 2000; tenant < 3000; tenant++) expect(byTenant.get(`t${tenant}`)).toBe(each);
    // One that is remembered goes on, one that is not begins anew.
    serve('t2000', 1);
    serve('t0', 1);
    expect(made.service.byTenant.get('t2000')).toBe(2 * each);
    expect(made.service.byTenant.get('t0')).toBe(each);
    expect(made.service.total).toBe(3002 * each);
  });

  it('lets a tenant with less than its share in at once, and sets back one with more', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 1000, maxRunning: 2 });
    const [first, second] = [sequence(16, 50), sequence(16, 50)];
    for (const each of [first, second, sequence(16, 50)]) made.add(each);
    run(made, schedule());
    const other = sequence(16, 50, null, { tenant: 'b' });
    made.add(other);
    run(made, schedule());
    expect([...made.running]).toEqual([first, other]);
    made.add(sequence(16, 50, null, { tenant: 'b' }));
    run(made, schedule());
    expect([...made.running]).toEqual([first, other]);
    made.checkIntegrity();
  });

  it('sets back background work for anybody else', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 1000, maxRunning: 1 });
    made.add(sequence(16, 50, null, { priority: 'batch' }));
    run(made, schedule());
    const urgent = sequence(16, 50);
    made.add(urgent);
    run(made, schedule());
    expect([...made.running]).toEqual([urgent]);
  });

  it('pauses the streams of a tenant with more than its share while another is read, as long as that is fair', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 1000, tpotTargetSeconds: null });
    const streams = Array.from({ length: 4 }, () => sequence(16, 500));
    for (const each of streams) made.add(each);
    while (streams.some(({ output }) => output.length < 2)) run(made, schedule());
    const ask = () => {
      made.add(sequence(64, 1, null, { tenant: 'b' }));
      const next = schedule();
      run(made, next);
      return next.batch.map(({ rows }) => rows);
    };
    expect(ask()).toEqual([64]);
    expect(schedule().batch.map(({ rows }) => rows)).toEqual([1, 1, 1, 1]);
    // One that asks without end is served as it should be, and no more: streams go on beside it.
    let paused = 0;
    for (let asked = 0; asked < 60; asked++) if (ask().length === 1) paused++;
    expect(paused).toBeGreaterThan(20);
    expect(paused).toBeLessThan(40);
  });

  it('serves urgent requests first and background work last, which ages all the same', () => {
    const { scheduler: made } = scheduler({ pageCount: 1000, maxBatchTokens: 16, maxRunning: 1 });
    const add = (priority: Priority, arrived: number) => {
      const each = sequence(16, 1, null, { priority, arrived });
      made.add(each);
      return each;
    };
    const [batch, normal, high] = [add('batch', 0), add('normal', 0), add('high', 0)];
    const next = (now: number) => {
      const schedule = made.schedule(now);
      run(made, schedule);
      return schedule.batch[0]!.sequence;
    };
    expect([next(0), next(0), next(0)]).toEqual([high, normal, batch]);
    const old = add('batch', 1);
    add('normal', 400);
    expect(next(400)).toBe(old);
  });

  it('lets no backlog pass a tenant that asks for little because it is old', () => {
    const { scheduler: made } = scheduler({ pageCount: 1000, maxBatchTokens: 16, maxRunning: 1 });
    for (let index = 0; index < 200; index++) made.add(sequence(16, 1, null, { tenant: 'greedy' }));
    let now = 0;
    const next = () => {
      const schedule = made.schedule(now++);
      run(made, schedule);
      return schedule.batch[0]!.sequence;
    };
    while (now < 100) next();
    const modest = sequence(16, 1, null, { tenant: 'modest', arrived: now });
    made.add(modest);
    expect([next(), next()]).toContain(modest);
  });

  it('preempts background work, and of equal ones the tenant that was served most', () => {
    const { scheduler: made, schedule } = scheduler({ pageCount: 3 });
    for (let answers = 0; answers < 8; answers++) made.lengths.observe([''], 1);
    const asks = [
      sequence(10, 30, null, { priority: 'batch' }),
      sequence(8, 30, null, { tenant: 'b' }),
      sequence(10, 30, null, { tenant: 'c' }),
    ];
    for (const each of asks) made.add(each);
    run(made, schedule());
    expect(made.running.size).toBe(3);
    while (made.running.has(asks[0]!)) run(made, schedule());
    expect([...made.running]).toEqual([asks[1], asks[2]]);
    while (made.running.size === 2) run(made, schedule());
    expect([...made.running]).toEqual([asks[1]]);
  });

  it('tells who has waited longer than they would, and predicts it', () => {
    const costs = new CostModel({ attentionScale: 1000, decodeSeconds: 0.1, prefillTokenSeconds: 0.01 });
    const { scheduler: made } = scheduler({ pageCount: 1000, maxRunning: 1, costs });
    expect(made.predictedWait(sequence(16, 10))).toBe(0);
    made.add(sequence(16, 100));
    run(made, made.schedule(0));
    expect(made.predictedWait(sequence(16, 10))).toBeGreaterThan(5);
    const late = sequence(16, 10, null, { deadline: 3 });
    made.add(late);
    expect(made.predictedWait(sequence(16, 10))).toBeGreaterThan(1);
    expect(made.schedule(2.9).expired).toEqual([]);
    expect(made.schedule(3.1).expired).toEqual([late]);
  });

  it('finishes everything it accepted, with its books in order, whatever happens', () => {
    const request = fc.record({
      prompt: fc.integer({ min: 1, max: 60 }),
      tokens: fc.integer({ min: 1, max: 40 }),
      adapter: fc.constantFrom(null, 'a1', 'b2', 'c3', 'd4'),
      tenant: fc.constantFrom('x', 'y', 'z'),
      weight: fc.constantFrom(0.5, 1, 4),
      priority: fc.constantFrom<Priority>('high', 'normal', 'batch'),
      prefix: fc.constantFrom(null, 'p', 'q'),
      arrives: fc.nat(60),
      cancelled: fc.option(fc.nat(80)),
    });
    const world = fc.record({
      pageCount: fc.integer({ min: 6, max: 30 }),
      adapterPoolPages: fc.option(fc.integer({ min: 2, max: 6 })),
      maxBatchTokens: fc.integer({ min: 1, max: 70 }),
      maxRunning: fc.integer({ min: 1, max: 8 }),
      maxBatchAdapters: fc.option(fc.integer({ min: 1, max: 3 })),
      tpotTargetSeconds: fc.constantFrom(null, 0.02, 1000),
      pinned: fc.option(fc.constantFrom('a1', 'b2')),
      loadSteps: fc.nat(4),
      failing: fc.boolean(),
      speculation: fc.constantFrom('off', 'auto', 'always'),
    });
    fc.assert(
      fc.property(world, fc.array(request, { maxLength: 25 }), ({ pinned, ...options }, requests) => {
        const { scheduler: made, schedule: next } = scheduler(options);
        if (pinned !== null) made.memory.adapters.pin(pinned, true);
        const waiting = requests
          .filter(({ prompt, tokens, adapter }) => made.canEverFit(prompt + tokens, adapter))
          .map(({ prompt, tokens, adapter, tenant, weight, priority, prefix, ...times }) => ({
            ...times,
            sequence: sequence(prompt, tokens, adapter, {
              tenant,
              weight,
              priority,
              prefixRoot: prefix === null ? null : `${prefix} ${adapter} ${tenant}`,
              arrived: times.arrives,
            }),
          }));
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
              made.adapterFailed(load.digest);
              for (const each of [...live].filter(({ adapter }) => adapter === load.digest)) {
                live.delete(each);
                made.remove(each);
              }
            } else {
              made.adapterLoaded(load.digest);
            }
          }
          const schedule = next();
          const rows = schedule.batch.reduce((sum, part) => sum + part.rows, 0);
          expect(rows + (schedule.drafts?.most ?? 0)).toBeLessThanOrEqual(options.maxBatchTokens);
          expect(new Set(schedule.batch.map((part) => part.sequence)).size).toBe(schedule.batch.length);
          expect(made.running.size).toBeLessThanOrEqual(options.maxRunning);
          for (const load of schedule.loads) loading.push({ load, due: step + 1 + options.loadSteps });
          run(made, schedule, (most) => (step * 7) % (most + 1));
          made.checkIntegrity();
          for (const each of live) expect(each.output.length).toBeLessThanOrEqual(each.maxTokens);
          for (const each of [...live]) if (each.output.length === each.maxTokens) live.delete(each);
          if (step > 100 && made.isIdle) break;
        }
        expect(live.size).toBe(0);
        expect(made.memory.pool.count('kv')).toBe(0);
        expect(made.shares).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
