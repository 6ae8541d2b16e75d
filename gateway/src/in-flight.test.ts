import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ApiError } from './errors.ts';
import { InFlight } from './in-flight.ts';

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
    const inFlight = new InFlight(3);
    const first = inFlight.acquire(2);
    expect(refusal(() => inFlight.acquire(2))).toBe('engine_overloaded');
    const second = inFlight.acquire(1);
    first.release();
    first.release();
    expect(refusal(() => inFlight.acquire(3))).toBe('engine_overloaded');
    inFlight.acquire(2).release();
    second.release();
    inFlight.acquire(3);
  });

  it('says that what is larger than all its room can never fit', () => {
    expect(refusal(() => new InFlight(3).acquire(4))).toBe('invalid_value');
  });

  it('waits for running requests when drained, and takes no new ones', async () => {
    const inFlight = new InFlight(3);
    const lease = inFlight.acquire(1);
    let drained = false;
    const draining = inFlight.drain(60).then(() => {
      drained = true;
    });
    expect(inFlight.draining).toBe(true);
    expect(refusal(() => inFlight.acquire(1))).toBe('shutting_down');
    await sleep(5);
    expect(drained).toBe(false);
    lease.release();
    await draining;
    expect(lease.signal.aborted).toBe(false);
  });

  it('aborts those that outlast the drain, with what to tell the client', async () => {
    const inFlight = new InFlight(3);
    const { signal } = inFlight.acquire(1);
    await inFlight.drain(0.01);
    expect(signal.reason).toMatchObject({ code: 'shutting_down' });
  });

  it('is drained at once when idle', async () => {
    await new InFlight(1).drain(60);
  });
});
