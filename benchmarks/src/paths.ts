import { dirname, join } from 'node:path';
import { defaultHome } from '@polylora/engine';

/** The repository's root folder, seen from `benchmarks/dist`. */
export const ROOT = join(import.meta.dirname, '..', '..');

/** Where reports are written. */
export const RESULTS = join(ROOT, 'benchmarks', 'results');

/** Where the model is kept: where the gateway looks too, so that nothing is fetched twice. */
export function modelHome(): string {
  return process.env.POLYLORA_HOME || defaultHome(process.env);
}

/** Where peers are built and kept between runs, beside Polylora's own cache; may be deleted. */
export function benchmarkCache(): string {
  return join(dirname(defaultHome(process.env)), 'polylora-bench');
}
