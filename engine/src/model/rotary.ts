import { EngineError } from '../types.ts';

/** Rotary scaling as Hugging Face configurations state it (`rope_scaling` or `rope_parameters`). */
export type RotaryScaling =
  | { readonly type: 'default' }
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContextLength: number;
    };

/**
 * The rotary frequencies base^(-2i / headDim), scaled. The `llama3` rule is Llama 3.1's: long wavelengths are
 * divided by the factor, short ones kept, those between interpolated.
 *
 * @throws EngineError `model_corrupt` where the base or a factor is not positive.
 */
export function inverseFrequencies(headDim: number, base: number, scaling: RotaryScaling): number[] {
  if (!(base > 0)) throw new EngineError('model_corrupt', `The rotary base is ${base}; it must be positive.`);
  const frequencies = Array.from({ length: headDim / 2 }, (_, i) => base ** ((-2 * i) / headDim));
  switch (scaling.type) {
    case 'default':
      return frequencies;
    case 'linear':
      checkPositive('factor', scaling.factor);
      return frequencies.map((frequency) => frequency / scaling.factor);
    case 'llama3': {
      const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContextLength } = scaling;
      checkPositive('factor', factor);
      checkPositive('low_freq_factor', low);
      checkPositive('high_freq_factor', high);
      checkPositive('original_max_position_embeddings', originalContextLength);
      return frequencies.map((frequency) => {
        const turns = (originalContextLength * frequency) / (2 * Math.PI);
        if (turns < low) return frequency / factor;
        if (turns > high) return frequency;
        const kept = (turns - low) / (high - low);
        return ((1 - kept) * frequency) / factor + kept * frequency;
      });
    }
  }
}

function checkPositive(name: string, value: number): void {
  if (!(value > 0 && Number.isFinite(value))) {
    throw new EngineError('model_corrupt', `The rotary scaling's ${name} is ${value}; it must be positive.`);
  }
}
