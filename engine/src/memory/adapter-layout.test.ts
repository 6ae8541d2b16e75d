import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AdaptedModule,
  type AdapterWeights,
  LORA_MODULES,
  type ModelInfo,
  projectionShape,
} from '../types.ts';
import { layOutAdapter, placeAddresses, slabBytes, sparseBytes } from './adapter-layout.ts';

const model: ModelInfo = {
  name: 'tiny',
  digest: '',
  sourceDigest: '',
  architecture: 'llama',
  weights: 'f32',
  layerCount: 3,
  hiddenSize: 24,
  intermediateSize: 56,
  headCount: 3,
  kvHeadCount: 1,
  headDim: 8,
  vocabSize: 100,
  maxModelLen: 64,
};

const tensor = { file: 0, dtype: 'F16', shape: [1, 1], begin: 0 } as const;

function ranksOf(layer: number, module: AdaptedModule['module'], rank: number): AdaptedModule {
  return { layer, module, lowRank: [{ rank, scale: 1, a: { tensor }, b: { tensor } }] };
}

describe.each(['f16', 'int8'] as const)('layOutAdapter of %s', (dtype) => {
  it('packs any mix of ranks so that no slab crosses a page or overlaps another, and little is wasted', () => {
    const pairs = fc.array(
      fc.record({
        layer: fc.nat(2),
        module: fc.constantFrom(...LORA_MODULES),
        rank: fc.integer({ min: 1, max: 40 }),
      }),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(pairs, fc.integer({ min: 5, max: 60 }), (specs, pageUnits) => {
        const adapter: AdapterWeights = {
          digest: 'd',
          files: [],
          modules: specs.map(({ layer, module, rank }) => ranksOf(layer, module, rank)),
        };
        const pageBytes = pageUnits * 64;
        const layout = layOutAdapter(adapter, model, dtype, pageBytes);
        const pages = Array.from({ length: layout.pageCount }, (_, index) => 1000 - index * 3);
        const slabs = placeAddresses(layout, pages);
        const ends = new Map<number, number>();
        let last: number | undefined;
        let index = 0;
        for (const { module, rank } of specs) {
          const shape = projectionShape(model, module);
          for (let first = 0; first < rank; ) {
            const [page, offset, ranks] = [slabs[index++]!, slabs[index++]!, slabs[index++]!];
            expect(pages).toContain(page);
            expect(offset % 64).toBe(0);
            expect(offset).toBeGreaterThanOrEqual(ends.get(page) ?? 0);
            expect(ranks).toBeGreaterThan(0);
            expect(ranks).toBeLessThanOrEqual(16);
            if (last !== undefined && page !== last) {
              const left = Math.min(4, rank - first);
              expect(Math.ceil(ends.get(last)! / 64) * 64 + slabBytes(dtype, left, shape)).toBeGreaterThan(
                pageBytes,
              );
            }
            ends.set(page, offset + slabBytes(dtype, ranks, shape));
            expect(ends.get(page)).toBeLessThanOrEqual(pageBytes);
            last = page;
            first += ranks;
            expect(first).toBeLessThanOrEqual(rank);
          }
        }
        expect(index).toBe(slabs.length);
        expect(ends.size).toBe(layout.pageCount);
      }),
    );
  });

  it('takes as many bytes as the kernels', () => {
    const shape = { in: 24, out: 56 };
    // 16 ranks of 24 inputs; of 56 outputs, 4 panels. As `a_slab_holds_rows_of_a_and_panels_of_b` in Rust says.
    expect(slabBytes(dtype, 16, shape)).toBe(
      dtype === 'f16' ? 16 * 24 * 2 + 16 * 64 * 2 : 16 * 8 + 16 * 24 + 16 * 64,
    );
    expect(slabBytes('f16', 2, { in: 2, out: 17 })).toBe(64 + 2 * 2 * 16 * 2);
  });

  it('refuses a rank that is larger than a page', () => {
    const adapter = {
      digest: 'd',
      files: [],
      modules: [ranksOf(1, 'down_proj', 1)],
    };
    expect(() => layOutAdapter(adapter, model, dtype, 64)).toThrow(
      expect.objectContaining({
        code: 'adapter_does_not_fit',
        message: expect.stringContaining('layer 1 down_proj'),
      }),
    );
  });

  it('gives every part of a module a place, in one order', () => {
    const output = { kind: 'rotation', variant: 1, groupSize: 8, angles: tensor, scales: tensor } as const;
    const everything: AdaptedModule = {
      ...ranksOf(0, 'q_proj', 20),
      input: tensor,
      sparse: { codes: tensor, scales: tensor },
      output,
    };
    const shape = projectionShape(model, 'q_proj');
    expect(shape).toEqual({ in: 24, out: 24 });
    const adapter = { digest: 'd', files: [], modules: [everything, ranksOf(1, 'q_proj', 1)] };
    const bytes = [96, slabBytes(dtype, 16, shape), slabBytes(dtype, 4, shape), sparseBytes(2, 24), 96, 96];
    const counts = [1, 16, 4, 2, 1, 1];
    const offsets = bytes.map((_, index) =>
      bytes.slice(0, index).reduce((sum, size) => sum + Math.ceil(size / 64) * 64, 0),
    );
    const layout = layOutAdapter(adapter, model, dtype, 1 << 20);
    const places = counts.flatMap((count, index) => [0, offsets[index]!, count]);
    const last = offsets.at(-1)! + 128;
    expect([...layout.places]).toEqual([...places, 0, last, 1]);
  });

  it('cuts a sparse part at pages, and refuses a vector that is larger than one', () => {
    const sparse = {
      layer: 0,
      module: 'up_proj',
      lowRank: [],
      sparse: { codes: tensor, scales: tensor },
    } as const;
    const adapter = { digest: 'd', files: [], modules: [sparse] };
    // 56 outputs are 4 panels of 64 bytes of scales and 96 of codes.
    expect([...layOutAdapter(adapter, model, dtype, 512).places]).toEqual([0, 0, 3, 1, 0, 1]);
    expect(() => layOutAdapter(adapter, model, dtype, 128)).toThrow('layer 0 up_proj: sixteen outputs');
    const scaled = { layer: 2, module: 'up_proj', lowRank: [], input: tensor } as const;
    const factors = { ...adapter, modules: [scaled] };
    expect(() => layOutAdapter(factors, model, dtype, 64)).toThrow('factors of inputs takes 96 bytes');
  });
});
