/** The vector of length 1 in the same direction; 0 stays 0. */
export function normalized(vector: Float32Array | Float64Array): Float32Array {
  let squares = 0;
  for (let i = 0; i < vector.length; i++) squares += vector[i]! * vector[i]!;
  const length = Math.sqrt(squares);
  const unit = new Float32Array(vector.length);
  for (let i = 0; i < vector.length; i++) unit[i] = length === 0 ? 0 : vector[i]! / length;
  return unit;
}
