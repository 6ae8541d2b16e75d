import { describe, expect, it } from 'vitest';
import { RecentRequests } from '../../requests/recent-requests.ts';
import { type LiveSource, liveFrames } from './live-frames.ts';

const ARRIVAL = { requestId: 'req_1', at: 1, arrived: 0, method: 'POST', route: '/v1/completions' };
const BEGINNING = 'retry: 2000\nevent: alive\ndata: {}\n\n';

const stays = new AbortController().signal;

/** Of the requests that come, without a sign of life. */
function sourceOf(requests: RecentRequests): LiveSource {
  const write = ({ number }: { number: number }) => `event: request\ndata: ${number}\n\n`;
  const watch = requests.watch(null, { write, onLeftBehind: () => {} });
  const beginning = 'event: alive\ndata: {}\n\n';
  return { beginning, next: () => watch.next(60_000), close: () => watch.close() };
}

function come(requests: RecentRequests): void {
  requests.begin(requests.arrive(ARRIVAL));
}

describe('what somebody watches', () => {
  it('begins at once, and is of what comes while he does', async () => {
    const requests = new RecentRequests();
    const frames = liveFrames(sourceOf(requests), async () => true, stays);
    expect((await frames.next()).value).toBe(BEGINNING);
    come(requests);
    expect((await frames.next()).value).toBe('event: request\ndata: 1\n\n');
    await frames.return(undefined);
    come(requests);
    expect((await frames.next()).done).toBe(true);
  });

  it('is not told to who may not look any more, not even what had come before', async () => {
    const requests = new RecentRequests();
    let isWelcome = true;
    const frames = liveFrames(sourceOf(requests), async () => isWelcome, stays);
    await frames.next();
    come(requests);
    expect((await frames.next()).value).toContain('data: 1');
    const next = frames.next();
    isWelcome = false;
    come(requests);
    expect(await next).toEqual({ done: true, value: undefined });
  });

  it('ends for who leaves, also while nothing comes', async () => {
    const requests = new RecentRequests();
    const leaving = new AbortController();
    const frames = liveFrames(sourceOf(requests), async () => true, leaving.signal);
    await frames.next();
    const next = frames.next();
    leaving.abort();
    expect((await next).done).toBe(true);
  });

  it('ends with the server', async () => {
    const requests = new RecentRequests();
    const frames = liveFrames(sourceOf(requests), async () => true, stays);
    await frames.next();
    const next = frames.next();
    requests.close();
    expect((await next).done).toBe(true);
  });
});
