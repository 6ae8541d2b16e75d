import fc from 'fast-check';
import { expect, test } from 'vitest';
import { outlierChannels, quantizeRows, rowSums, ZERO_CODE } from './quantize.ts';

const matrix = fc.integer({ min: 1, max: 5 }).chain((rows) =>
  fc.integer({ min: 1, max: 9 }).chain((cols) =>
    fc
      .array(fc.float({ min: -1000, max: 1000, noNaN: true }), {
        minLength: rows * cols,
        maxLength: rows * cols,
      })
      .map((values) => ({ rows, cols, values: Float32Array.from(values) })),
  ),
);

test('each value comes back within half a step of its own row', () => {
  fc.assert(
    fc.property(matrix, fc.boolean(), ({ rows, cols, values }, transposed) => {
      const { codes, scales } = quantizeRows(values, rows, transposed);
      for (let row = 0; row < rows; row++) {
        for (let col = 0; col < cols; col++) {
          const code = codes[transposed ? col * rows + row : row * cols + col]!;
          const error = Math.abs((code - ZERO_CODE) * scales[row]! - values[row * cols + col]!);
          expect(error).toBeLessThanOrEqual(scales[row]! * 0.500_01);
        }
      }
    }),
  );
});

test('sums of rows are those of the codes, not of the values they stand for', () => {
  const quantized = quantizeRows(Float32Array.of(127, 0.4, 0.4, 127, -127, 1), 2, true);
  expect([...rowSums(quantized)]).toEqual([127, 1]);
});

test('the channels that can become largest are found in all normalizations together, in order', () => {
  const norms = [
    { gain: Float32Array.of(1, 0.1, 1, 4), bias: new Float32Array(4) },
    { gain: Float32Array.of(1, 0.1, 1, 1), bias: Float32Array.of(0, -20, 0, 0) },
  ];
  expect(outlierChannels(norms, 2)).toEqual([1, 3]);
});
