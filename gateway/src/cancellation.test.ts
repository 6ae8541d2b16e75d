import { describe, expect, it } from 'vitest';
import { Cancellation } from './cancellation.ts';
import { ApiError } from './errors.ts';

const LEFT = new ApiError('client_closed_request', 'left');
const STOPPED = new ApiError('shutting_down', 'stop');

describe('Cancellation', () => {
  it('tells each listener once, with the first reason, and those who come later at once', () => {
    const cancellation = new Cancellation();
    const told: unknown[] = [];
    cancellation.onCancel((reason) => told.push(reason));
    cancellation.onCancel((reason) => told.push(reason));
    expect(() => cancellation.throwIfCancelled()).not.toThrow();
    cancellation.cancel(LEFT);
    cancellation.cancel(STOPPED);
    expect(told).toEqual([LEFT, LEFT]);
    cancellation.onCancel((reason) => told.push(reason));
    expect(told).toHaveLength(3);
    expect(cancellation.isCancelled).toBe(true);
    expect(() => cancellation.throwIfCancelled()).toThrow(LEFT);
  });

  it('tells nobody who has stopped listening', () => {
    const cancellation = new Cancellation();
    const stop = cancellation.onCancel(() => expect.unreachable());
    stop();
    stop();
    // Also where another listener is what stops it.
    const stopLater: (() => void)[] = [];
    cancellation.onCancel(() => stopLater.pop()?.());
    stopLater.push(cancellation.onCancel(() => expect.unreachable()));
    cancellation.cancel(LEFT);
    expect(stopLater).toEqual([]);
  });

  it('is a signal too, whenever that is asked for, and follows one', () => {
    const cancellation = new Cancellation();
    const { signal } = cancellation;
    expect(signal).toBe(cancellation.signal);
    expect(signal.aborted).toBe(false);
    cancellation.cancel(LEFT);
    expect(signal.reason).toBe(LEFT);
    const cancelled = new Cancellation();
    cancelled.cancel(LEFT);
    expect(cancelled.signal.reason).toBe(LEFT);

    const controller = new AbortController();
    const follower = Cancellation.of(controller.signal);
    expect(follower.isCancelled).toBe(false);
    controller.abort(STOPPED);
    expect(() => follower.throwIfCancelled()).toThrow(STOPPED);
    expect(Cancellation.of(controller.signal).isCancelled).toBe(true);
  });
});
