import type { Pooling } from './encoder.ts';

/**
 * A text's vector from its tokens' states `[tokens, width]`, of length 1. In double precision and in one order, so that its bits
 * depend on the states alone.
 */
export function pool(states: Float32Array, width: number, pooling: Pooling): Float32Array {
  const sum = new Float64Array(width);
  const end = pooling === 'cls' ? width : states.length;
  for (let begin = 0; begin < end; begin += width) {
    for (let channel = 0; channel < width; channel++) sum[channel]! += states[begin + channel]!;
  }
  return normalized(sum);
}

/** The vector of length 1 in the same direction; 0 stays 0. */
export function normalized(vector: Float32Array | Float64Array): Float32Array {
  let squares = 0;
  for (let i = 0; i < vector.length; i++) squares += vector[i]! * vector[i]!;
  const length = Math.sqrt(squares);
  const unit = new Float32Array(vector.length);
  for (let i = 0; i < vector.length; i++) unit[i] = length === 0 ? 0 : vector[i]! / length;
  return unit;
}
