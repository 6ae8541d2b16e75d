import { DataType, type TensorProto } from '../model/onnx-schema.ts';

/** Where ONNX Runtime can map a tensor by itself. */
const ALIGNMENT = 4096;

/** Collects a graph's tensors for the file that lies beside it. */
export class TensorFile {
  readonly initializers: TensorProto[] = [];
  readonly #name: string;
  readonly #chunks: { readonly offset: number; readonly bytes: Uint8Array }[] = [];
  #size = 0;

  constructor(name: string) {
    this.#name = name;
  }

  /** Adds a tensor under its name, which it returns. */
  add(name: string, dims: readonly number[], values: Float32Array | Uint8Array): string {
    const offset = Math.ceil(this.#size / ALIGNMENT) * ALIGNMENT;
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    this.#chunks.push({ offset, bytes });
    this.#size = offset + bytes.length;
    this.initializers.push({
      name,
      dims,
      dataType: values instanceof Uint8Array ? DataType.uint8 : DataType.float,
      dataLocation: 1,
      externalData: [
        { key: 'location', value: this.#name },
        { key: 'offset', value: String(offset) },
        { key: 'length', value: String(bytes.length) },
      ],
    });
    return name;
  }

  content(): Uint8Array {
    const content = new Uint8Array(this.#size);
    for (const { offset, bytes } of this.#chunks) content.set(bytes, offset);
    return content;
  }
}
