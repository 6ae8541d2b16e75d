/** Bits per element of every dtype of the format (safetensors 0.8, `tensor.rs`). */
const DTYPE_BITS = {
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  BOOL: 8,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

export type SafetensorsDtype = keyof typeof DTYPE_BITS;

export function isSafetensorsDtype(value: unknown): value is SafetensorsDtype {
  return typeof value === 'string' && Object.hasOwn(DTYPE_BITS, value);
}

/**
 * Bytes that a tensor takes, or null where that is no whole number of bytes or not below 2^53
 * (so that no later sum of offsets can lose a bit).
 */
export function tensorBytes(dtype: SafetensorsDtype, shape: readonly number[]): number | null {
  let bits = DTYPE_BITS[dtype] as number;
  for (const dimension of shape) {
    bits *= dimension;
    // Checked at each factor: a product beyond 2^53 that a later 0 would hide is refused, as the reference does.
    if (!Number.isSafeInteger(bits)) return null;
  }
  return bits % 8 === 0 ? bits / 8 : null;
}
