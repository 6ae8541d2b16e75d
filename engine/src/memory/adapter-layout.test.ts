import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AdapterWeights,
  LORA_MODULES,
  type LoraPair,
  type ModelInfo,
  projectionShape,
} from '../types.ts';
import { layOutAdapter, rowAddresses } from './adapter-layout.ts';

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

describe.each([
  ['f16', 2, 0],
  ['int8', 1, 8],
] as const)('layOutAdapter of %s', (dtype, width, header) => {
  it('packs any mix of ranks so that no row crosses a page or overlaps another', () => {
    const pairs = fc.array(
      fc.record({
        layer: fc.nat(2),
        module: fc.constantFrom(...LORA_MODULES),
        rank: fc.integer({ min: 1, max: 40 }),
      }),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(pairs, fc.integer({ min: 3, max: 12 }), (specs, pageUnits) => {
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
        const addresses = rowAddresses(layout, pages);
        const ends = new Map<number, number>();
        let index = 0;
        for (const { module, rank } of adapter.pairs) {
          const shape = projectionShape(model, module);
          for (let row = 0; row < rank; row++) {
            const [page, offset] = [addresses[index++]!, addresses[index++]!];
            expect(pages).toContain(page);
            expect(offset % 64).toBe(0);
            expect(offset).toBeGreaterThanOrEqual(ends.get(page) ?? 0);
            ends.set(page, offset + header + (shape.in + shape.out) * width);
            expect(ends.get(page)).toBeLessThanOrEqual(pageBytes);
          }
        }
        expect(index).toBe(addresses.length);
        expect(ends.size).toBe(layout.pageCount);
      }),
    );
  });

  it('refuses a row that is larger than a page', () => {
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
