import { run } from './command.ts';
import { ROOT } from './paths.ts';

/** Bytes per second that so many threads read from memory, measured by the kernels' own example program. */
export async function measureBandwidth(threads: number): Promise<number> {
  const output = await run(
    'cargo',
    // biome-ignore format: a command line
    ['run', '--quiet', '--release', '--manifest-path', 'engine/native/Cargo.toml', '--package', 'polylora-kernels',
      '--example', 'memory_bandwidth', '--', String(threads)],
    { cwd: ROOT },
  );
  const bytesPerSecond = Number(output);
  if (!(bytesPerSecond > 0)) throw new Error(`the memory_bandwidth example printed ${output}`);
  return bytesPerSecond;
}
