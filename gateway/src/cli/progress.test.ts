import { describe, expect, it } from 'vitest';
import { Progress } from './progress.ts';

function shown(isTTY: boolean, columns?: number) {
  const written: string[] = [];
  let now = 0;
  const sink = { isTTY, columns, write: (text: string) => written.push(text) };
  const progress = new Progress(sink, 4_000_000, () => now);
  const after = (milliseconds: number, bytes: number) => {
    now += milliseconds;
    progress.add(bytes);
  };
  return { progress, written, after };
}

describe('Progress', () => {
  it('draws one bar over itself on a terminal, and takes it away', () => {
    const { progress, written, after } = shown(true);
    after(1000, 1_000_000);
    after(10, 1_000_000);
    after(990, 1_000_000);
    progress.sent();
    progress.end();
    expect(written.map((text) => text.replaceAll('\u001b[K', '<'))).toEqual([
      '\r[........................]   0 %  0 B of 4.0 MB<',
      '\r[######..................]  25 %  1.0 MB of 4.0 MB, 1.0 MB/s<',
      '\r[##################......]  75 %  3.0 MB of 4.0 MB, 1.5 MB/s<',
      '\rAll sent. The server is checking it.<',
      '\r<',
    ]);
  });

  it('goes back where a connection broke, and says so in between', () => {
    const { progress, written, after } = shown(true);
    after(1000, 3_000_000);
    progress.say('Trying again.');
    progress.at(2_000_000);
    after(1000, 0);
    expect(written.slice(2).map((text) => text.replaceAll('\u001b[K', '<'))).toEqual([
      '\rTrying again.<',
      '\r[############............]  50 %  2.0 MB of 4.0 MB, 1.0 MB/s<',
    ]);
  });

  it('keeps to the width of the terminal', () => {
    const { written, after } = shown(true, 20);
    after(1000, 4_000_000);
    expect(written.at(-1)).toBe('\r[##################\u001b[K');
  });

  it('writes plain lines elsewhere, now and then', () => {
    const { progress, written, after } = shown(false);
    after(5000, 1_000_000);
    after(5000, 1_000_000);
    progress.sent();
    progress.end();
    expect(written).toEqual([
      'Sending 4.0 MB.\n',
      ' 50 %  2.0 MB of 4.0 MB, 200.0 kB/s\n',
      'All sent. The server is checking it.\n',
    ]);
  });
});
