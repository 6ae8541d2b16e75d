/** Eight-bit weights for ONNX's MatMulInteger. */

/** Codes are unsigned, and this one stands for 0. */
export const ZERO_CODE = 128;
const MOST = 127;

/** A row without a larger value counts as zeros: steps of it would be none that a float can be. */
const TINIEST = 1e-30;

/** A matrix `[rows, cols]` with a scale for each row. */
export interface QuantizedRows {
  /** In the layout that was asked for. */
  readonly codes: Uint8Array;
  readonly scales: Float32Array;
}

/** Quantizes each row by itself. `transposed` lays the codes out as `[cols, rows]`. */
export function quantizeRows(values: Float32Array, rows: number, transposed: boolean): QuantizedRows {
  const cols = values.length / rows;
  const codes = new Uint8Array(values.length);
  const scales = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    let largest = 0;
    for (let col = 0; col < cols; col++) largest = Math.max(largest, Math.abs(values[row * cols + col]!));
    const scale = largest < TINIEST ? 1 : Math.fround(largest / MOST);
    scales[row] = scale;
    for (let col = 0; col < cols; col++) {
      const code = Math.round(values[row * cols + col]! / scale) + ZERO_CODE;
      codes[transposed ? col * rows + row : row * cols + col] = code;
    }
  }
  return { codes, scales };
}

/** The sum of each row's values as the codes have them, which lie transposed. */
export function rowSums({ codes, scales }: QuantizedRows): Float64Array {
  const rows = scales.length;
  const sums = new Float64Array(rows);
  for (let i = 0; i < codes.length; i++) sums[i % rows]! += codes[i]! - ZERO_CODE;
  return sums.map((sum, row) => sum * scales[row]!);
}

/**
 * Channels of the residual stream that may be far larger than the others, and would take the other channels' bits if they
 * shared a scale with them (LLM.int8(), Dettmers et al. 2022). A few are the same in every layer, and the normalizations
 * that let them through have learnt large gains for them.
 */
export function outlierChannels(
  norms: readonly { readonly gain: Float32Array; readonly bias: Float32Array }[],
  count: number,
): number[] {
  const width = norms[0]!.gain.length;
  const reach = new Float64Array(width);
  for (const { gain, bias } of norms) {
    for (let channel = 0; channel < width; channel++) {
      // Most normalized values lie within three standard deviations.
      const most = 3 * Math.abs(gain[channel]!) + Math.abs(bias[channel]!);
      reach[channel] = Math.max(reach[channel]!, most);
    }
  }
  const byReach = [...reach.keys()].sort((a, b) => reach[b]! - reach[a]!);
  return byReach.slice(0, count).sort((a, b) => a - b);
}
