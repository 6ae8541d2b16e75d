import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StartingBackend } from '../backends/starting.ts';
import { InFlight } from '../in-flight.ts';
import { LiveMeter } from './live-meter.ts';
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

  it('counts a tenant’s for itself only while somebody looks, and everybody’s always', () => {
    const meter = new LiveMeter();
    const acme = meter.watch('acme');
    for (const tenant of ['acme', 'other', 'other']) {
      const request = meter.request(tenant, true);
      request.see(0, { type: 'start', promptTokens: 7, promptText: null }, true);
      request.see(0, delta(1), true);
      request.see(0, delta(2), true);
      request.see(0, finish(0.5), true);
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
    const offline = meter.request('acme', false);
    const whole = meter.request('acme', true);
    for (const [request, isTold] of [
      [offline, true],
      [whole, false],
    ] as const) {
      // An upstream tells at the end how long the prompt was.
      request.see(0, { type: 'start', promptTokens: null, promptText: null }, isTold);
      request.see(0, delta(1), isTold);
      request.see(0, delta(1), isTold);
      request.see(0, finish(1), isTold);
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

  it('has room for a hundred readers, and for another where one has left', () => {
    const views = Array.from({ length: 100 }, () => sampler.open(null, () => {}).view);
    expect(() => sampler.assertRoom()).toThrow('as many as there may be');
    views[0]!.end();
    sampler.assertRoom();
    sampler.close();
    expect(() => sampler.assertRoom()).toThrow('shutting down');
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
