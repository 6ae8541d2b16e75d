import { describe, expect, it } from 'vitest';
import { inverseFrequencies } from './rotary.ts';

describe('rotary frequencies', () => {
  it('fall from 1 by equal ratios', () => {
    const frequencies = inverseFrequencies(8, 10_000, { type: 'default' });
    [1, 0.1, 0.01, 0.001].forEach((expected, i) => {
      expect(frequencies[i]).toBeCloseTo(expected, 12);
    });
  });

  it('are divided by a linear factor', () => {
    expect(inverseFrequencies(4, 10_000, { type: 'linear', factor: 4 })).toEqual([0.25, 0.0025]);
  });

  it("follow Llama 3.1's rule: short wavelengths kept, long ones divided, those between mixed", () => {
    // transformers' _compute_llama3_parameters for head_dim 16 and Llama-3.2-1B's rope_scaling.
    const expected = LLAMA3_HEAD_16;
    const frequencies = inverseFrequencies(16, 500_000, {
      type: 'llama3',
      factor: 32,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
      originalContextLength: 8192,
    });
    expected.forEach((value, i) => {
      expect(frequencies[i]! / value).toBeCloseTo(1, 5);
    });
  });

  it('need positive factors', () => {
    expect(() => inverseFrequencies(4, 0, { type: 'default' })).toThrow('rotary base is 0');
    expect(() => inverseFrequencies(4, 1e4, { type: 'linear', factor: -1 })).toThrow(
      "scaling's factor is -1",
    );
  });
});

const LLAMA3_HEAD_16 = [
  1, 0.19392276, 0.037606031, 0.0072926651, 0.00042955671, 8.5702559e-6, 1.6619674e-6, 3.2229329e-7,
];
