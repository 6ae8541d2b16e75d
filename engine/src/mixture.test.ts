import { describe, expect, it } from 'vitest';
import { mixAdapters, mixtureDigest } from './mixture.ts';
import type { AdaptedModule, AdapterWeights } from './types.ts';

const tensor = { file: 0, dtype: 'F32', shape: [2, 2], begin: 64 } as const;
const vector = { file: 0, dtype: 'F32', shape: [1, 2], begin: 8 } as const;

function lora(layer: number, scale: number): AdaptedModule {
  return { layer, module: 'q_proj', lowRank: [{ rank: 2, scale, a: { tensor }, b: { tensor } }] };
}

const ADAPTERS: Record<string, AdapterWeights> = {
  a: {
    digest: 'a',
    files: [{ path: '/a', bytes: 1, modifiedMs: 1 }],
    modules: [lora(0, 2), lora(1, 2)],
  },
  b: {
    digest: 'b',
    files: [{ path: '/b', bytes: 2, modifiedMs: 2 }],
    modules: [
      {
        layer: 1,
        module: 'q_proj',
        lowRank: [{ rank: 2, scale: 1, a: { tensor, pieces: vector }, b: { tensor, rowScales: vector } }],
      },
    ],
  },
  factors: {
    digest: 'factors',
    files: [],
    modules: [{ layer: 0, module: 'q_proj', lowRank: [], output: { kind: 'scale', factors: vector } }],
  },
};
const weightsOf = async (digest: string) => ADAPTERS[digest]!;

describe('a mixture', () => {
  it('has all changes of a module, each with its weight and in its own file', async () => {
    const parts = [
      { digest: 'b', weight: 0.25 },
      { digest: 'a', weight: -3 },
    ];
    const mixture = await mixAdapters(parts, weightsOf);
    expect(mixture.files.map(({ path }) => path)).toEqual(['/a', '/b']);
    expect(mixture.modules.map(({ layer, lowRank }) => [layer, lowRank.map(({ scale }) => scale)])).toEqual([
      [0, [-6]],
      [1, [-6, 0.25]],
    ]);
    const [, ofB] = mixture.modules[1]!.lowRank;
    expect(ofB).toMatchObject({
      a: { tensor: { file: 1, begin: 64 }, pieces: { file: 1 } },
      b: { tensor: { file: 1 }, rowScales: { file: 1, begin: 8 } },
    });
    expect(mixture.digest).toBe(mixtureDigest(parts));
  });

  it('is known by its contents and weights, not by their order', () => {
    const digest = mixtureDigest([
      { digest: 'a', weight: 1 },
      { digest: 'b', weight: 2 },
    ]);
    const same = [
      { digest: 'b', weight: 2 },
      { digest: 'a', weight: 0.5 },
      { digest: 'a', weight: 0.5 },
    ];
    expect(mixtureDigest(same)).toBe(digest);
    const others = [
      [{ digest: 'a', weight: 1 }],
      [
        { digest: 'a', weight: 2 },
        { digest: 'b', weight: 1 },
      ],
      [
        { digest: 'a', weight: -1 },
        { digest: 'b', weight: 2 },
      ],
    ];
    for (const other of others) expect(mixtureDigest(other)).not.toBe(digest);
  });

  it('of what is no sum is refused', async () => {
    const parts = [
      { digest: 'a', weight: 1 },
      { digest: 'factors', weight: 1 },
    ];
    await expect(mixAdapters(parts, weightsOf)).rejects.toMatchObject({ code: 'adapters_not_mixable' });
  });
});
