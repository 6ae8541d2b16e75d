import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AdapterWeights,
  LORA_MODULES,
  type LoraPair,
  type ModelInfo,
  projectionShape,
} from '../types.ts';
import { layOutAdapter, slabAddresses, slabBytes } from './adapter-layout.ts';

const model: ModelInfo = {
  name: 'tiny',
  digest: '',
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

function pair(layer: number, module: LoraPair['module'], rank: number): LoraPair {
  const tensor = { dtype: 'F16', shape: [rank, 1], begin: 0 } as const;
  return { layer, module, rank, scale: 1, a: tensor, b: tensor };
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
          file: 'f',
          fileSize: 0,
          fileModifiedMs: 0,
          pairs: specs.map(({ layer, module, rank }) => pair(layer, module, rank)),
        };
        const pageBytes = pageUnits * 64;
        const layout = layOutAdapter(adapter, model, dtype, pageBytes);
        const pages = Array.from({ length: layout.pageCount }, (_, index) => 1000 - index * 3);
        const slabs = slabAddresses(layout, pages);
        const ends = new Map<number, number>();
        let last: number | undefined;
        let index = 0;
        for (const { module, rank } of adapter.pairs) {
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
      file: 'f',
      fileSize: 0,
      fileModifiedMs: 0,
      pairs: [pair(1, 'down_proj', 1)],
    };
    expect(() => layOutAdapter(adapter, model, dtype, 64)).toThrow(
      expect.objectContaining({
        code: 'adapter_does_not_fit',
        message: expect.stringContaining('layer 1 down_proj'),
      }),
    );
  });
});
