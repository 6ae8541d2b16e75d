import { describe, expect, it } from 'vitest';
import { RecentRequests, type RequestFilter } from './recent-requests.ts';
import type { RequestRecord } from './request-record.ts';

const ALL: RequestFilter = { tenant: null, model: null, state: null, route: null };

function arrive(requests: RecentRequests, tenant: string | null = 'acme'): RequestRecord {
  const record = requests.arrive({
    ...{ requestId: 'req_same', at: 1_000, arrived: performance.now() },
    ...{ method: 'POST', route: '/v1/chat/completions' },
  });
  record.tenant = tenant;
  return record;
}

const numbers = (records: readonly RequestRecord[]) => records.map(({ number }) => number);

describe('the recent requests', () => {
  it('are those that run and the last that ended, the newest first', () => {
    const requests = new RecentRequests();
    const [first, second, third] = [arrive(requests), arrive(requests), arrive(requests)];
    for (const record of [first, second, third]) requests.begin(record);
    requests.end(second);
    requests.end(first);
    expect(numbers(requests.list(ALL, 10, null))).toEqual([3, 2, 1]);
    expect(numbers(requests.list({ ...ALL, state: 'done' }, 10, null))).toEqual([2, 1]);
    expect(numbers(requests.list(ALL, 1, 3))).toEqual([2]);
    expect(numbers(requests.list(ALL, 10, 1))).toEqual([]);
    expect(third.state).toBe('running');
  });

  it('have ids that no other process gives, and a place for those of this one alone', () => {
    const [before, now] = [new RecentRequests(), new RecentRequests()];
    const [old, record] = [arrive(before), arrive(now)];
    expect([old.number, record.number]).toEqual([1, 1]);
    expect(record.id).not.toBe(old.id);
    expect(record.id).toMatch(/^r[\da-f]{6}-1$/);
    expect(now.numberOf(record.id)).toBe(1);
    for (const other of [old.id, 'r1', 'x', '', `${record.id}x`, record.id.replace('-1', '-')])
      expect(now.numberOf(other)).toBeNull();
  });

  it('are bounded: a thousand that ended, whoever sent them', () => {
    const requests = new RecentRequests();
    for (let count = 0; count < 2_500; count++) requests.end(arrive(requests));
    const kept = requests.list(ALL, 10_000, null);
    expect([kept.length, kept[0]?.number, kept.at(-1)?.number]).toEqual([1_000, 2_500, 1_501]);
  });

  it('have the last of those of which nobody knows whose they are, which push out no others', () => {
    const requests = new RecentRequests();
    const known = arrive(requests);
    requests.end(known);
    for (let i = 0; i < 2_000; i++) requests.end(arrive(requests, null));
    const all = requests.list(ALL, 5_000, null);
    expect([all.length, all.at(-1)]).toEqual([101, known]);
    expect(requests.list({ ...ALL, tenant: known.tenant }, 5_000, null)).toEqual([known]);
  });

  it('say how each ended', () => {
    const requests = new RecentRequests();
    const [done, failed, left] = [arrive(requests), arrive(requests), arrive(requests)];
    failed.fail('engine_overloaded');
    failed.fail('client_closed_request');
    left.fail('client_closed_request');
    for (const record of [done, failed, left]) requests.end(record);
    expect([done.state, failed.state, left.state]).toEqual(['done', 'failed', 'aborted']);
    expect(failed.errorCode).toBe('engine_overloaded');
  });
});

describe('who watches', () => {
  const watcher = {
    write: ({ number, state }: RequestRecord) => `${number} ${state};`,
    onLeftBehind: () => {},
  };

  it('is told of each of its tenant as it begins and ends', async () => {
    const requests = new RecentRequests();
    const [acme, all] = [requests.watch('acme', watcher), requests.watch(null, watcher)];
    const [mine, other] = [arrive(requests), arrive(requests, 'other')];
    requests.begin(mine);
    requests.begin(other);
    requests.end(mine);
    expect(await acme.next(1_000)).toBe('1 running;1 done;');
    expect(await all.next(1_000)).toBe('1 running;2 running;1 done;');
    expect(await all.next(1)).toBe('');
    const next = all.next(10_000);
    requests.end(other);
    expect(await next).toBe('2 done;');
  });

  it('and does not read is left behind, and nothing piles up', async () => {
    const requests = new RecentRequests();
    let [written, left] = [0, 0];
    const watch = requests.watch(null, {
      write() {
        written += 1;
        return 'x';
      },
      onLeftBehind: () => left++,
    });
    for (let count = 0; count < 2_000; count++) requests.end(arrive(requests));
    expect(written).toBeLessThan(300);
    expect(left).toBe(1);
    expect(await watch.next(1_000)).toBeNull();
  });

  it('is let go of when the server stops, and before it began', async () => {
    const requests = new RecentRequests();
    const watch = requests.watch(null, watcher);
    const next = watch.next(60_000);
    requests.close();
    expect(await next).toBeNull();
    expect(await requests.watch(null, watcher).next(60_000)).toBeNull();
  });
});
