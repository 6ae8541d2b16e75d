import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { LoraModule } from '@polylora/engine';
import { PROJECTIONS, SHAPE } from '../default-model.ts';
import { writeRandomAdapter } from './random-adapter.ts';

/** As in S-LoRA. */
const MODULES: readonly LoraModule[] = ['q_proj', 'k_proj', 'v_proj', 'o_proj'];
const LEAST_RANK = 8;
const MOST_RANK = 64;
const F16_BYTES = 2;

/** Many adapters as tenants have them: most are small. */
export interface AdapterFleet {
  readonly names: readonly string[];
  /** Of all their numbers in the pool. */
  readonly bytes: number;
}

/**
 * Writes distinct adapters on the four attention projections, a folder each, but for those that are there: every second
 * of rank 8, every fourth of rank 16, every eighth of rank 32, every eighth of rank 64.
 */
export function writeAdapterFleet(folder: string, count: number): AdapterFleet {
  const names = Array.from({ length: count }, (_, index) => `tenant-${index}`);
  for (const [index, name] of names.entries()) {
    if (existsSync(join(folder, name))) continue;
    // Under another name until it is whole, so that a run that was stopped leaves nothing half-written.
    writeRandomAdapter(join(folder, `.${name}`), rankOf(index), index + 1, MODULES);
    renameSync(join(folder, `.${name}`), join(folder, name));
    if ((index + 1) % 500 === 0) console.error(`${index + 1} of ${count} adapters written`);
  }
  const values = MODULES.map((module) => PROJECTIONS[module].in + PROJECTIONS[module].out);
  const perRank = SHAPE.layerCount * values.reduce((sum, width) => sum + width, 0) * F16_BYTES;
  return { names, bytes: names.reduce((sum, _, index) => sum + rankOf(index) * perRank, 0) };
}

/** The ruler sequence: 8, 16, 8, 32, 8, 16, 8, 64, … */
function rankOf(index: number): number {
  let rank = LEAST_RANK;
  for (let rest = index + 1; rest % 2 === 0 && rank < MOST_RANK; rest /= 2) rank *= 2;
  return rank;
}
