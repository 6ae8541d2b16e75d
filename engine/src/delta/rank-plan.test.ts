import { describe, expect, it } from 'vitest';
import type { Projection } from './projections.ts';
import { type Ranks, ranksWithin, sameRanks } from './rank-plan.ts';

const projection = (module: Projection['module'], outputs: number, inputs: number): Projection => ({
  name: `model.layers.0.self_attn.${module}`,
  module,
  inputs,
  outputs,
  norm: null,
});
const PROJECTIONS = [
  projection('q_proj', 64, 64),
  projection('k_proj', 16, 64),
  projection('up_proj', 192, 64),
  projection('down_proj', 64, 192),
];
const sizeOf = (ranks: Ranks) =>
  PROJECTIONS.reduce(
    (sum, { module, inputs, outputs }) => sum + 2 * ranks[module] * (inputs + outputs),
    1000,
  );

describe('ranksWithin', () => {
  it('uses a budget up to less than another rank of each', () => {
    for (const budget of [1000, 1500, 4_000, 9_999, 20_000]) {
      const ranks = ranksWithin(PROJECTIONS, budget, sizeOf);
      if (ranks === null) throw new Error('nothing fits');
      expect(sizeOf(ranks)).toBeLessThanOrEqual(budget);
      const more = Object.fromEntries(Object.entries(ranks).map(([module, rank]) => [module, rank + 1]));
      expect(sizeOf(more as Ranks)).toBeGreaterThan(budget);
    }
  });

  it('gives wide projections more', () => {
    expect(ranksWithin(PROJECTIONS, 10_000, sizeOf)).toMatchObject({
      q_proj: 5,
      k_proj: 2,
      up_proj: 7,
      down_proj: 7,
    });
  });

  it('never goes beyond a side, and says where nothing fits', () => {
    expect(ranksWithin(PROJECTIONS, 1e9, sizeOf)).toMatchObject({ q_proj: 64, k_proj: 16, up_proj: 64 });
    expect(ranksWithin(PROJECTIONS, 999, sizeOf)).toBeNull();
    expect(sameRanks(3)).toMatchObject({ q_proj: 3, down_proj: 3 });
  });
});
