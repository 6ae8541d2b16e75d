import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ApiError } from './errors.ts';
import { InFlight, type Lease } from './in-flight.ts';

function refusal(action: () => unknown): string | null {
  try {
    action();
    return null;
  } catch (error) {
    return error instanceof ApiError ? error.code : String(error);
  }
}

describe('InFlight', () => {
  it('refuses what does not fit now, all of it, and takes it once there is room', () => {
    const inFlight = new InFlight({ running: 3, queued: 0 });
    const first = inFlight.acquire('tenant', 1, 2);
    expect(refusal(() => inFlight.acquire('tenant', 1, 2))).toBe('engine_overloaded');
    const second = inFlight.acquire('tenant', 1, 1);
    first.release();
    first.release();
    expect(refusal(() => inFlight.acquire('tenant', 1, 3))).toBe('engine_overloaded');
    inFlight.acquire('tenant', 1, 2).release();
    second.release();
    inFlight.acquire('tenant', 1, 3);
  });

  it('says that what is larger than all its room can never fit', () => {
    expect(refusal(() => new InFlight({ running: 3, queued: 0 }).acquire('tenant', 1, 4))).toBe(
      'invalid_value',
    );
  });

  it('keeps places in the queue for those who have few, and fills what can run whoever asks', () => {
    const inFlight = new InFlight({ running: 4, queued: 86 });
    const take = (tenant: string) => {
      let taken = 0;
      while (refusal(() => inFlight.acquire(tenant, 1, 1)) === null) taken++;
      return taken;
    };
    expect(take('greedy')).toBe(80);
    expect(refusal(() => inFlight.acquire('greedy', 1, 1))).toBe('engine_overloaded');
    expect(take('modest')).toBeGreaterThan(5);
    expect(take('late')).toBeGreaterThan(0);
    expect(new InFlight({ running: 4, queued: 0 }).acquire('alone', 1, 4)).toBeDefined();
  });

  it.each([
    [1, 1, 1],
    [1, 2, 5],
    [0.5, 1, 0.5],
  ])('shares the queue by weight among those who ask for too much: %d, %d, %d', (...weights) => {
    const inFlight = new InFlight({ running: 4, queued: 1000 });
    const held = weights.map((weight) => ({ weight, leases: [] as Lease[] }));
    for (let round = 0; round < 12_000; round++) {
      for (const [tenant, { weight, leases }] of held.entries()) {
        // As requests end, whoever they belong to, all ask again.
        if (round % held.length === 0) leases.shift()?.release();
        // The first has filled what it may when the others come.
        if (tenant > 0 && round < 1000) continue;
        refusal(() => leases.push(inFlight.acquire(`${tenant}`, weight, 1)));
      }
    }
    const total = held.reduce((sum, { leases }) => sum + leases.length, 0);
    const whole = weights.reduce((sum, weight) => sum + weight, 0);
    for (const { weight, leases } of held) {
      expect(Math.abs(leases.length / total - weight / whole)).toBeLessThan(0.02);
    }
  });

  it('leaves a place for the next, whatever those weigh who have the others', () => {
    const inFlight = new InFlight({ running: 4, queued: 86 });
    const take = (tenant: string, weight: number) => {
      let taken = 0;
      while (refusal(() => inFlight.acquire(tenant, weight, 1)) === null) taken++;
      return taken;
    };
    expect(take('light', 0.1)).toBe(80);
    expect(take('heavy', 100)).toBeGreaterThan(5);
    expect(take('light', 0.1)).toBe(0);
    expect(take('late', 100)).toBeGreaterThan(0);
  });

  it('takes one of whoever weighs next to nothing, as long as there is a place', () => {
    const inFlight = new InFlight({ running: 4, queued: 14 });
    while (refusal(() => inFlight.acquire('heavy', 100, 1)) === null);
    inFlight.acquire('light', 0.1, 1);
    expect(refusal(() => inFlight.acquire('light', 0.1, 1))).toBe('engine_overloaded');
  });

  it('waits for running requests when drained, and takes no new ones', async () => {
    const inFlight = new InFlight({ running: 3, queued: 0 });
    const lease = inFlight.acquire('tenant', 1, 1);
    let drained = false;
    const draining = inFlight.drain(60).then(() => {
      drained = true;
    });
    expect(inFlight.draining).toBe(true);
    expect(refusal(() => inFlight.acquire('tenant', 1, 1))).toBe('shutting_down');
    await sleep(5);
    expect(drained).toBe(false);
    lease.release();
    await draining;
    expect(lease.cancellation.isCancelled).toBe(false);
  });

  it('cancels those that outlast the drain, with what to tell the client', async () => {
    const inFlight = new InFlight({ running: 3, queued: 0 });
    const { cancellation } = inFlight.acquire('tenant', 1, 1);
    await inFlight.drain(0.01);
    expect(cancellation.signal.reason).toMatchObject({ code: 'shutting_down' });
  });

  it('is drained at once when idle', async () => {
    await new InFlight({ running: 1, queued: 0 }).drain(60);
  });
});
