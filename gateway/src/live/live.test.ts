import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StartingBackend } from '../backends/starting.ts';
import { InFlight } from '../in-flight.ts';
import { Metrics } from '../metrics/metrics.ts';
import { LiveMeter } from './live-meter.ts';
import { LiveRoom } from './live-room.ts';
import { LiveSampler } from './live-sampler.ts';
import { LiveView } from './live-view.ts';
import { RecentPercentiles } from './recent-percentiles.ts';
import type { Snapshot } from './snapshot.ts';

describe('RecentPercentiles', () => {
  it('tells them within a few parts in a hundred, and forgets after half a minute', () => {
    const times = new RecentPercentiles();
    expect(times.percentiles).toBeNull();
    for (let each = 1; each <= 1000; each++) times.observe(each);
    const { p50, p95, p99 } = times.percentiles!;
    for (const [found, right] of [
      [p50, 500],
      [p95, 950],
      [p99, 990],
    ] as const)
      expect(Math.abs(found / right - 1)).toBeLessThan(0.03);
    for (let second = 0; second < 29; second++) times.turn();
    expect(times.percentiles).toEqual({ p50, p95, p99 });
    times.turn();
    expect(times.percentiles).toBeNull();
  });

  it('counts what is none, or longer than a day, as what it can tell', () => {
    const times = new RecentPercentiles();
    for (const odd of [0, -1, Number.NaN]) times.observe(odd, 10);
    expect(times.percentiles?.p99).toBeLessThan(0.06);
    times.observe(1e12, 10_000);
    expect(times.percentiles?.p50).toBeGreaterThan(1e6);
  });
});

describe('LiveMeter', () => {
  const finish = (queuedSeconds: number) =>
    ({
      type: 'finish',
      reason: 'stop',
      stopReason: null,
      usage: { promptTokens: 7, completionTokens: 3, cachedPromptTokens: 0 },
      queuedSeconds,
    }) as const;
  const delta = (tokens: number) => ({ type: 'delta', text: '', tokens, logprobs: null }) as const;

  const MODEL = { id: 'base', mixture: null };
  /** What measures a sequence of a tenant's, as generation has it. */
  const sequence = (meter: LiveMeter, tenant: string, isAwaited = true) =>
    new Metrics().sequence({ tenant, model: MODEL, isAwaited, traceId: null, live: meter });

  it('counts a tenant’s for itself only while somebody looks, and everybody’s always', () => {
    const meter = new LiveMeter();
    const acme = meter.watch('acme');
    for (const tenant of ['acme', 'other', 'other']) {
      const measured = sequence(meter, tenant);
      measured.see({ type: 'start', promptTokens: 7, promptText: null }, performance.now());
      for (const event of [delta(1), delta(2), finish(0.5)]) measured.see(event, performance.now());
      meter.answered(tenant, 200, tenant === 'acme' ? 'hit' : 'miss');
    }
    meter.answered(null, 401, null);
    meter.answered('other', 499, 'bypass');
    meter.failed('other');
    const all = meter.everyone.turn(2);
    expect(all.rates).toEqual({
      requests: 2.5,
      errors: 1,
      prompt_tokens: 10.5,
      generation_tokens: 4.5,
      cache_lookups: 1.5,
      cache_hits: 0.5,
    });
    expect(all.queue_ms?.p50).toBeGreaterThan(480);
    expect(all.queue_ms?.p50).toBeLessThan(520);
    expect(acme.turn(1).rates).toEqual({
      requests: 1,
      errors: 0,
      prompt_tokens: 7,
      generation_tokens: 3,
      cache_lookups: 1,
      cache_hits: 1,
    });
    expect(meter.everyone.turn(1).rates.requests).toBe(0);
    meter.forget('acme');
    expect(meter.of('acme')).toBeUndefined();
  });

  it('tells no latency of what nobody waits for, nor of what came whole', () => {
    const meter = new LiveMeter();
    for (const [measured, at] of [
      [sequence(meter, 'acme', false), performance.now()],
      [sequence(meter, 'acme'), null],
    ] as const) {
      // An upstream tells at the end how long the prompt was.
      measured.see({ type: 'start', promptTokens: null, promptText: null }, at);
      for (const event of [delta(1), delta(1), finish(1)]) measured.see(event, at);
    }
    const { rates, ...latencies } = meter.everyone.turn(1);
    expect(rates).toMatchObject({ prompt_tokens: 14, generation_tokens: 4 });
    expect(latencies).toEqual({ first_token_ms: null, inter_token_ms: null, queue_ms: null });
  });
});

describe('LiveView', () => {
  const snapshot = (at: number) => ({ at }) as Snapshot;

  it('keeps the newest alone for who reads slowly, and lets go of who reads nothing', async () => {
    const ended: LiveView[] = [];
    const view = new LiveView((each) => ended.push(each));
    for (let at = 0; at <= 30; at++) expect(view.push(snapshot(at))).toBe(true);
    expect(await view.next()).toEqual({ at: 30 });
    const next = view.next();
    expect(view.push(snapshot(31))).toBe(true);
    expect(await next).toEqual({ at: 31 });
    for (let at = 0; at <= 30; at++) expect(view.push(snapshot(at))).toBe(true);
    expect(view.push(snapshot(31))).toBe(false);
    view.end();
    view.end();
    expect(ended).toEqual([view]);
    expect(await view.next()).toBeNull();
  });

  it('ends for who waits', async () => {
    const view = new LiveView(() => {});
    const next = view.next();
    view.end();
    expect(await next).toBeNull();
  });
});

describe('LiveRoom', () => {
  const enter = (room: LiveRoom, count: number, tenant: (each: number) => string | null) =>
    Array.from({ length: count }, (_, each) => room.enter(tenant(each)));

  it('is for a hundred, and for another where one has left', () => {
    const room = new LiveRoom();
    const [first] = enter(room, 100, () => null);
    for (const tenant of [null, 'acme']) expect(() => room.assertRoom(tenant)).toThrow('100 live views are');
    first!();
    first!();
    room.enter('acme');
    expect(() => room.enter(null)).toThrow('as many as there may be');
  });

  it('is for ten of a tenant, whatever others do', () => {
    const room = new LiveRoom();
    const [first] = enter(room, 10, () => 'acme');
    expect(() => room.enter('acme')).toThrow('10 live views of your tenant are open');
    room.enter('other');
    first!();
    room.enter('acme');
    expect(() => room.assertRoom('acme')).toThrow();
  });

  it('is kept for operators, however many tenants come', () => {
    const room = new LiveRoom();
    const left = enter(room, 80, (each) => `tenant-${each % 8}`);
    expect(() => room.enter('another')).toThrow("80 live views of tenants' administrators are open");
    enter(room, 20, () => null);
    expect(() => room.enter(null)).toThrow();
    for (const leave of left) leave();
    enter(room, 10, () => 'tenant-0');
  });
});

describe('LiveSampler', () => {
  let meter: LiveMeter;
  let sampler: LiveSampler;
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance', 'Date'] });
    meter = new LiveMeter();
    const backend = new StartingBackend();
    const inFlight = new InFlight({ running: 4, queued: 0 });
    sampler = new LiveSampler({ backend: () => backend, inFlight, meter, clock: { now: () => Date.now() } });
  });
  afterEach(() => {
    sampler.close();
    vi.useRealTimers();
  });

  it('remembers the last five minutes, and begins with them', () => {
    vi.advanceTimersByTime(400_000);
    const { history, view } = sampler.open(null, () => {});
    expect(history).toHaveLength(300);
    expect(history.at(-1)!.at - history[0]!.at).toBe(299_000);
    expect(history.at(-1)).toMatchObject({ ready: false, running: 0, pages: null, tenants: [] });
    view.end();
  });

  it('cuts off who reads nothing, once', () => {
    let stuck = 0;
    sampler.open(null, () => stuck++);
    vi.advanceTimersByTime(31_000);
    expect(stuck).toBe(0);
    vi.advanceTimersByTime(60_000);
    expect(stuck).toBe(1);
  });

  it('waits at its end for nobody who does not read', async () => {
    const left: string[] = [];
    const { view } = sampler.open(null, () => left.push('reads'));
    sampler.open(null, () => left.push('does not read'));
    for (let second = 0; second < 3; second++) {
      vi.advanceTimersByTime(1000);
      expect(await view.next()).not.toBeNull();
    }
    sampler.close();
    expect(left).toEqual(['does not read']);
    expect(await view.next()).toBeNull();
  });

  it('opens nothing once it is closed', () => {
    sampler.assertOpen();
    sampler.close();
    expect(() => sampler.assertOpen()).toThrow('shutting down');
    expect(() => sampler.open(null, () => {})).toThrow('shutting down');
  });

  it('forgets a tenant that nobody has looked at for five minutes', () => {
    const { view } = sampler.open('acme', () => {});
    vi.advanceTimersByTime(10_000);
    view.end();
    expect(sampler.open('acme', () => {}).history).toHaveLength(10);
    expect(meter.of('acme')).toBeDefined();
    // That one is cut off, because it reads nothing.
    vi.advanceTimersByTime(400_000);
    expect(meter.of('acme')).toBeUndefined();
    expect(sampler.open('acme', () => {}).history).toEqual([]);
  });
});
