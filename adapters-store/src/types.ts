/**
 * The store's own view of an adapter and of the model it must fit. The store knows nothing of the engine, but an
 * `Adapter` has the structure that the engine asks of an adapter's weights, so it can be handed over as it is.
 */

/** The projections of a decoder layer that an adapter can change. */
export const LORA_MODULES = [
  'q_proj',
  'k_proj',
  'v_proj',
  'o_proj',
  'gate_proj',
  'up_proj',
  'down_proj',
] as const;
export type LoraModule = (typeof LORA_MODULES)[number];

/** What the store must know of the base model to check an adapter against it. */
export interface BaseModelShape {
  readonly layerCount: number;
  /** Input and output width of a projection; the same in every layer. */
  projection(module: LoraModule): { readonly in: number; readonly out: number };
}

/** One tensor in an adapter's safetensors file. `begin` is an absolute byte offset in that file. */
export interface TensorLocation {
  readonly dtype: 'F32' | 'F16' | 'BF16';
  readonly shape: readonly [number, number];
  readonly begin: number;
}

/** One low-rank pair: delta = scale · B·A, A is [rank, in], B is [out, rank]. */
export interface LoraPair {
  readonly layer: number;
  readonly module: LoraModule;
  readonly rank: number;
  readonly scale: number;
  readonly a: TensorLocation;
  readonly b: TensorLocation;
}

/** An adapter whose configuration and every weight were checked against the base model. */
export interface Adapter {
  /** The folder's name; what clients call it. */
  readonly name: string;
  /** SHA-256 of its content, in hex: equal for equal weights whatever the name, file layout or key order. */
  readonly digest: string;
  /** The text of adapter_config.json. */
  readonly config: string;
  /** Absolute path of the safetensors file. */
  readonly file: string;
  /** Bytes of the file before its content was read: with the time below it tells a file that was changed since. */
  readonly fileSize: number;
  /** When the file had last been written before its content was read, in milliseconds since 1970. */
  readonly fileModifiedMs: number;
  /** When the safetensors file was last written, in seconds since 1970. */
  readonly createdAt: number;
  /** In order of layer, then of `LORA_MODULES`. */
  readonly pairs: readonly LoraPair[];
}
