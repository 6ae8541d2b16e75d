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
  live = new LiveConfig({ file: path, load: () => loadConfig(['--config', path, ...flags], env) });
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
  it('has new values for what can change, and tells what waits for the next start', () => {
    const path = file('maxQueued: 1\nport: 1\nlogLevel: info\n');
    open(path);
    file('maxQueued: 2\nport: 2\nlogLevel: info\n');
    expect(live.reload()).toMatchObject({ kind: 'applied', changed: ['maxQueued'], waiting: ['port'] });
    expect(live.current).toMatchObject({ maxQueued: 2, port: 1 });
    // Against what is in use, not against what the file said before.
    expect(live.reload()).toMatchObject({ changed: [], waiting: ['port'] });
  });

  it('stays as it is where anything in the file is wrong', () => {
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
      expect(live.reload()).toMatchObject({ kind: 'refused', reason: { code: 'invalid_config' } });
      expect(live.current).toBe(before);
    }
    unlinkSync(path);
    expect(live.reload()).toMatchObject({ kind: 'refused' });
    expect(live.current).toBe(before);
  });

  it('goes back to defaults for what is not in the file any more, and leaves flags their say', () => {
    const path = file('maxQueued: 1\ndrainSeconds: 5\n');
    open(path, ['--drain-seconds', '7']);
    file('');
    expect(live.reload()).toMatchObject({ changed: ['maxQueued'] });
    expect(live.current).toMatchObject({ maxQueued: 1024, drainSeconds: 7 });
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
