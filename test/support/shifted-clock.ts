/** Processes whose machine's time of day a test sets while they run. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SOURCE = join(import.meta.dirname, 'shifted-clock.c');

/** Whether such a process can be had: Linux's loader, and the compiler that the addon is linked by. */
export const HAS_SHIFTED_CLOCKS =
  process.platform === 'linux' && spawnSync('cc', ['--version'], { stdio: 'ignore' }).status === 0;

export interface ShiftedClock {
  /** What a process is started with to go by it. */
  readonly env: Readonly<Record<string, string>>;
  /** Sets it to so many seconds from what is right, at once. */
  set(seconds: number): void;
  remove(): Promise<void>;
}

/** Makes a clock that is right until it is set. */
export async function shiftedClock(): Promise<ShiftedClock> {
  const folder = await mkdtemp(join(tmpdir(), 'polylora-clock-'));
  const [library, file] = [join(folder, 'clock.so'), join(folder, 'shift')];
  const set = (seconds: number) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(seconds));
    // In place: the processes have it mapped.
    writeFileSync(file, bytes, { flag: 'r+' });
  };
  writeFileSync(file, Buffer.alloc(8));
  const made = spawnSync('cc', ['-O1', '-shared', '-fPIC', '-o', library, SOURCE, '-ldl'], {
    encoding: 'utf8',
  });
  if (made.status !== 0) throw new Error(`the clock cannot be compiled: ${made.stderr}`);
  return {
    env: { LD_PRELOAD: library, POLYLORA_TEST_CLOCK: file },
    set,
    remove: () => rm(folder, { recursive: true }),
  };
}
