import { mkdtempSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LiveConfig, type Reload } from './live-config.ts';
import { loadConfig } from './load.ts';

let folder: string;
let live: LiveConfig;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'polylora-live-config-'));
});
afterEach(() => {
  live.close();
  rmSync(folder, { recursive: true, force: true });
});

const env = { XDG_CACHE_HOME: '/var/cache/u' };

function open(path: string, flags: readonly string[] = []): { reloads: Reload[] } {
  live = new LiveConfig({
    file: path,
    load: (content) => loadConfig(['--config', path, ...flags], env, content),
  });
  const reloads: Reload[] = [];
  live.onReload((reload) => reloads.push(reload));
  return { reloads };
}

function file(content: string, name = 'config.yaml'): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

describe('a configuration that is read again', () => {
  it('has new values for what can change, and tells what waits for the next start', async () => {
    const path = file('maxQueued: 1\nport: 1\nlogLevel: info\n');
    open(path);
    file('maxQueued: 2\nport: 2\nlogLevel: info\n');
    expect(await live.reload()).toMatchObject({ kind: 'applied', changed: ['maxQueued'], waiting: ['port'] });
    expect(live.current).toMatchObject({ maxQueued: 2, port: 1 });
    // Against what is in use, not against what the file said before.
    expect(await live.reload()).toMatchObject({ changed: [], waiting: ['port'] });
  });

  it('stays as it is where anything in the file is wrong', async () => {
    const path = file('maxQueued: 1\n');
    open(path);
    const before = live.current;
    for (const wrong of [
      'maxQueued: 2\nlogLevel: loud\n',
      'maxQueued: 2\nmaxQeued: 3\n',
      'maxQueued: [',
      '- 1\n',
    ]) {
      file(wrong);
      expect(await live.reload()).toMatchObject({ kind: 'refused', reason: { code: 'invalid_config' } });
      expect(live.current).toBe(before);
    }
    unlinkSync(path);
    expect(await live.reload()).toMatchObject({ kind: 'refused' });
    expect(live.current).toBe(before);
  });

  it('goes back to defaults for what is not in the file any more, and leaves flags their say', async () => {
    const path = file('maxQueued: 1\ndrainSeconds: 5\n');
    open(path, ['--drain-seconds', '7']);
    file('{}\n');
    expect(await live.reload()).toMatchObject({ changed: ['maxQueued'] });
    expect(live.current).toMatchObject({ maxQueued: 1024, drainSeconds: 7 });
  });
});

describe('a configuration file that is being written', () => {
  it.each(['', '# prices were here\n', '---\n', '\n\n'])(
    'changes nothing while it is empty: %j',
    async (empty) => {
      const path = file('prices: {base: {input: 1, output: 2}}\n');
      open(path);
      file(empty);
      const reload = await live.reload();
      expect(reload).toMatchObject({
        kind: 'refused',
        reason: { message: expect.stringContaining('write {}') },
      });
      expect(live.current.prices).toEqual({ base: { input: 1, output: 2 } });
      file('{}\n');
      expect(await live.reload()).toMatchObject({ kind: 'applied', changed: ['prices'] });
    },
  );

  it('is taken as it was at two looks, also where somebody says that it has changed', async () => {
    const path = file('maxQueued: 1\n');
    const { reloads } = open(path);
    file('maxQueued: 2\n');
    const reloading = live.reload();
    // Half of it, and then the rest, before a look has seen it twice.
    setTimeout(() => file('maxQueued: 3\n'), 50);
    await reloading;
    expect(live.current.maxQueued).toBe(3);
    expect(reloads).toHaveLength(1);
  });

  it('is taken with the content that was looked at, whatever is in the file by then', async () => {
    const path = file('maxQueued: 1\n');
    let emptied = false;
    live = new LiveConfig({
      file: path,
      load: (content) => {
        if (content !== undefined && !emptied) {
          emptied = true;
          file('');
        }
        return loadConfig(['--config', path], env, content);
      },
    });
    file('maxQueued: 2\n');
    expect(await live.reload()).toMatchObject({ kind: 'applied', changed: ['maxQueued'] });
    expect(live.current.maxQueued).toBe(2);
  });
});

describe('a configuration file that is watched', () => {
  it('is read again when it changes, once, also where a link is turned to another file', async () => {
    const first = file('maxQueued: 1\n', 'first.yaml');
    const second = file('maxQueued: 2\n', 'second.yaml');
    const path = join(folder, 'config.yaml');
    symlinkSync(first, path);
    const { reloads } = open(path);
    await live.watch();
    unlinkSync(path);
    symlinkSync(second, path);
    await vi.waitFor(() => expect(live.current.maxQueued).toBe(2), 10_000);
    file('maxQueued: oops\n', 'second.yaml');
    await vi.waitFor(() => expect(reloads.at(-1)?.kind).toBe('refused'), 10_000);
    const { length } = reloads;
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    // Neither the same content nor the same mistake is told twice.
    expect(reloads.length).toBe(length);
    expect(live.current.maxQueued).toBe(2);
  });
});
