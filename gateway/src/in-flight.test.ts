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
    const first = inFlight.acquire('tenant', 2);
    expect(refusal(() => inFlight.acquire('tenant', 2))).toBe('engine_overloaded');
    const second = inFlight.acquire('tenant', 1);
    first.release();
    first.release();
    expect(refusal(() => inFlight.acquire('tenant', 3))).toBe('engine_overloaded');
    inFlight.acquire('tenant', 2).release();
    second.release();
    inFlight.acquire('tenant', 3);
  });

  it('says that what is larger than all its room can never fit', () => {
    expect(refusal(() => new InFlight({ running: 3, queued: 0 }).acquire('tenant', 4))).toBe('invalid_value');
  });

  it('keeps places in the queue for those who have few, and fills what can run whoever asks', () => {
    const inFlight = new InFlight({ running: 4, queued: 86 });
    const take = (tenant: string) => {
      let taken = 0;
      while (refusal(() => inFlight.acquire(tenant, 1)) === null) taken++;
      return taken;
    };
    expect(take('greedy')).toBe(80);
    expect(refusal(() => inFlight.acquire('greedy', 1))).toBe('engine_overloaded');
    expect(take('modest')).toBeGreaterThan(5);
    expect(take('late')).toBeGreaterThan(0);
    expect(new InFlight({ running: 4, queued: 0 }).acquire('alone', 4)).toBeDefined();
  });

  it('shares the queue equally among those who ask for too much', () => {
    const inFlight = new InFlight({ running: 4, queued: 1000 });
    const held = new Map<string, Lease[]>([
      ['early', []],
      ['second', []],
      ['third', []],
    ]);
    for (let round = 0; round < 4000; round++) {
      for (const [tenant, leases] of held) {
        // As requests end, whoever they belong to, all ask again.
        if (round % held.size === 0) leases.shift()?.release();
        if (tenant !== 'early' && round < 1000) continue;
        refusal(() => leases.push(inFlight.acquire(tenant, 1)));
      }
    }
    const counts = [...held.values()].map(({ length }) => length);
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThan(20);
  });

  it('waits for running requests when drained, and takes no new ones', async () => {
    const inFlight = new InFlight({ running: 3, queued: 0 });
    const lease = inFlight.acquire('tenant', 1);
    let drained = false;
    const draining = inFlight.drain(60).then(() => {
      drained = true;
    });
    expect(inFlight.draining).toBe(true);
    expect(refusal(() => inFlight.acquire('tenant', 1))).toBe('shutting_down');
    await sleep(5);
    expect(drained).toBe(false);
    lease.release();
    await draining;
    expect(lease.cancellation.isCancelled).toBe(false);
  });

  it('cancels those that outlast the drain, with what to tell the client', async () => {
    const inFlight = new InFlight({ running: 3, queued: 0 });
    const { cancellation } = inFlight.acquire('tenant', 1);
    await inFlight.drain(0.01);
    expect(cancellation.signal.reason).toMatchObject({ code: 'shutting_down' });
  });

  it('is drained at once when idle', async () => {
    await new InFlight({ running: 1, queued: 0 }).drain(60);
  });
});
