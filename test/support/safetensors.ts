/** Safetensors files of a few tensors. */
export interface Tensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}
export type Tensors = Record<string, Tensor>;

function count(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

export function f32(shape: readonly number[], value: (index: number) => number): Tensor {
  const values = Float32Array.from({ length: count(shape) }, (_, index) => value(index));
  return { dtype: 'F32', shape, bytes: new Uint8Array(values.buffer) };
}

export function i32(shape: readonly number[], value: (index: number) => number): Tensor {
  const values = Int32Array.from({ length: count(shape) }, (_, index) => value(index));
  return { dtype: 'I32', shape, bytes: new Uint8Array(values.buffer) };
}

export function u8(shape: readonly number[], value: (index: number) => number): Tensor {
  return {
    dtype: 'U8',
    shape,
    bytes: Uint8Array.from({ length: count(shape) }, (_, index) => value(index)),
  };
}

/** Halves (0.5 in F16) but for the last value, whose bits are given. */
export function u16(dtype: 'F16' | 'BF16', shape: readonly number[], bits: number): Tensor {
  const values = new Uint16Array(count(shape)).fill(0x3800);
  values[values.length - 1] = bits;
  return { dtype, shape, bytes: new Uint8Array(values.buffer) };
}

export function safetensors(entries: Tensors): Buffer {
  let end = 0;
  const header = Object.fromEntries(
    Object.entries(entries).map(([name, { dtype, shape, bytes }]) => {
      const begin = end;
      end += bytes.length;
      return [name, { dtype, shape, data_offsets: [begin, end] }];
    }),
  );
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, ...Object.values(entries).map(({ bytes }) => bytes)]);
}
