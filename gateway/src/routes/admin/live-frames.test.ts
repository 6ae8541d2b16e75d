import { describe, expect, it } from 'vitest';
import { RecentRequests } from '../../requests/recent-requests.ts';
import { liveFrames } from './live-frames.ts';

const write = ({ number }: { number: number }) => `event: request\ndata: ${number}\n\n`;
const ARRIVAL = { requestId: 'req_1', at: 1, arrived: 0, method: 'POST', route: '/v1/completions' };

async function read(frames: AsyncGenerator<string>): Promise<string[]> {
  const all: string[] = [];
  for await (const frame of frames) all.push(frame);
  return all;
}

describe('what somebody watches', () => {
  it('is opened at once, shows signs of life, and ends for who may not look any more', async () => {
    const requests = new RecentRequests();
    let asked = 0;
    const isStillWelcome = async () => {
      asked += 1;
      return asked < 3;
    };
    const frames = await read(liveFrames(requests.watch(null, write), isStillWelcome, 5));
    expect([asked, frames[0], frames.slice(1).every((frame) => frame === ':\n\n')]).toEqual([
      3,
      ': live\n\n',
      true,
    ]);
  });

  it('ends where nobody can tell who he is', async () => {
    const requests = new RecentRequests();
    const away = () => Promise.reject(new Error('the database is away'));
    expect(await read(liveFrames(requests.watch(null, write), away, 5))).toEqual([': live\n\n']);
  });

  it('is of the requests that come while he does', async () => {
    const requests = new RecentRequests();
    const frames = liveFrames(requests.watch(null, write), async () => true);
    await frames.next();
    requests.begin(requests.arrive(ARRIVAL));
    expect((await frames.next()).value).toBe('event: request\ndata: 1\n\n');
    await frames.return(undefined);
    requests.begin(requests.arrive(ARRIVAL));
    expect((await frames.next()).done).toBe(true);
  });
});
