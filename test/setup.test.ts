import { execFile } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withLock } from '../scripts/lock.mjs';
import { digestOf, filesUnder } from '../scripts/stamp.mjs';
import { cargoCounts, vitestCounts, withStatus } from '../scripts/test-counts.mjs';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'polylora-setup-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Runs the prerequisites' check with nothing on the PATH but the given commands. */
async function missingWith(commands: Readonly<Record<string, string>>): Promise<string[]> {
  for (const [name, script] of Object.entries(commands)) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, name), 0o755);
  }
  const module = join(import.meta.dirname, '..', 'scripts', 'prerequisites.mjs');
  const program = `
    const { checkPrerequisites } = await import(${JSON.stringify(module)});
    await checkPrerequisites().catch((error) => console.log(error.message));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
    env: { PATH: folder },
  });
  return stdout.split('\n').filter((line) => line !== '');
}

const RUST = { cargo: 'echo cargo 1.92.0', rustc: 'echo "rustc 1.92.0 (abc 2025-12-01)"' };
const PYTHON = { python3: 'echo Python 3.11.2' };
const LINKER = { cc: 'echo cc 12' };

describe.skipIf(process.platform === 'win32')('prerequisites', () => {
  it('says nothing when all are there', async () => {
    expect(await missingWith({ ...RUST, ...PYTHON, ...LINKER })).toEqual([]);
  });

  it('names everything that is missing at once, one sentence each', async () => {
    const lines = await missingWith({});
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(
      /^Rust 1\.92 or newer is needed, and `cargo` and `rustc` were not found: .*rustup/,
    );
    expect(lines[1]).toMatch(/^A C compiler is needed .*`cc` was not found/);
    expect(lines[2]).toMatch(/^Python 3 with pip is needed .*`python3` was not found/);
  });

  it('tells an old Rust from a missing one', async () => {
    const old = { cargo: 'echo cargo 1.80.1', rustc: 'echo rustc 1.80.1' };
    expect(await missingWith({ ...old, ...PYTHON, ...LINKER })).toEqual([
      'Rust 1.92 or newer is needed, and this is cargo 1.80.1: run `rustup update stable`.',
    ]);
  });

  it('tells a Python without pip from a missing Python', async () => {
    const withoutPip = { python3: 'if [ "$1" = -m ]; then exit 1; fi; echo Python 3.11.2' };
    const lines = await missingWith({ ...RUST, ...withoutPip, ...LINKER });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^Python's pip is needed .*ensurepip/);
  });
});

describe('the lock between set-ups', () => {
  it('lets one process in at a time', async () => {
    const file = join(folder, 'lock');
    let release = () => {};
    const first = withLock(
      file,
      () => new Promise<void>((resolve) => (release = resolve)),
      () => {},
    );
    let entered = false;
    const second = otherProcessLocks(file).then(() => (entered = true));
    await sleep(600);
    expect(entered).toBe(false);
    release();
    await first;
    await second;
    expect(existsSync(file)).toBe(false);
  });

  it('takes over from an owner that died', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ['-p', 'process.pid']);
    const file = join(folder, 'lock');
    writeFileSync(file, stdout.trim());
    const owner = await withLock(
      file,
      async () => readFileSync(file, 'utf8'),
      () => {},
    );
    expect(owner).toBe(String(process.pid));
    expect(existsSync(file)).toBe(false);
  });

  function otherProcessLocks(file: string) {
    const module = join(import.meta.dirname, '..', 'scripts', 'lock.mjs');
    const program = `
      const { withLock } = await import(${JSON.stringify(module)});
      await withLock(${JSON.stringify(file)}, async () => {}, () => {});`;
    return promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
  }
});

describe('the digest of a step’s inputs', () => {
  it('changes with content and names, not with times, and leaves built files out', () => {
    const file = join(folder, 'a.rs');
    writeFileSync(file, 'fn a() {}');
    writeFileSync(join(folder, 'a.o'), 'built');
    const digest = () => digestOf(filesUnder(folder, (name) => name.endsWith('.rs')));
    const first = digest();
    writeFileSync(file, 'fn a() {}');
    writeFileSync(join(folder, 'a.o'), 'built again');
    expect(digest()).toBe(first);
    writeFileSync(file, 'fn b() {}');
    expect(digest()).not.toBe(first);
    writeFileSync(file, 'fn a() {}');
    symlinkSync(file, join(folder, 'b.rs'));
    expect(digest()).not.toBe(first);
  });
});

describe('the closing line of npm test', () => {
  it('adds up every Rust test binary', () => {
    const text = [
      'test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s',
      'noise',
      'test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s',
    ].join('\n');
    expect(cargoCounts(text)).toEqual({ passed: 15, failed: 2, skipped: 1 });
  });

  it('reads vitest’s report', () => {
    const report = { numPassedTests: 5, numFailedTests: 1, numPendingTests: 2, numTodoTests: 1 };
    expect(vitestCounts(JSON.stringify(report))).toEqual({ passed: 5, failed: 1, skipped: 3 });
  });

  it('never reports a run that did not build as passed', () => {
    expect(withStatus({ passed: 0, failed: 0, skipped: 0 }, 101)).toEqual({
      passed: 0,
      failed: 1,
      skipped: 0,
    });
    expect(withStatus({ passed: 4, failed: 2, skipped: 0 }, 101).failed).toBe(2);
  });
});
