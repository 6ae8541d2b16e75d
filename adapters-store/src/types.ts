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

/** Input and output width of a projection. */
export interface ProjectionShape {
  readonly in: number;
  readonly out: number;
}

/** What the store must know of the base model to check an adapter against it. */
export interface BaseModelShape {
  readonly layerCount: number;
  /** The same in every layer. */
  projection(module: LoraModule): ProjectionShape;
}

/**
 * A tensor in one of an adapter's safetensors files: row-major, a vector has one row. `begin` is the absolute byte offset in
 * file number `file`.
 */
export interface TensorLocation {
  readonly file: number;
  readonly dtype: 'F32' | 'F16' | 'BF16' | 'I32' | 'U8';
  readonly shape: readonly [rows: number, columns: number];
  readonly begin: number;
}

/**
 * One factor of a low-rank change. A is `[rank, in]`; B is `[out, rank]`.
 */
export interface LowRankFactor {
  /** The factor itself or, with `pieces`, rows to put it together from; it may be larger than needed (VeRA's shared matrices). */
  readonly tensor: TensorLocation;
  /**
   * I32 `[rank, pieces per rank]`: which rows of `tensor`, side by side, are a rank's row of A or column of B. Absent: the tensor
   * begins with the factor's rows and columns.
   */
  readonly pieces?: TensorLocation;
  /** A factor for each row of the matrix: A's are its ranks, B's its outputs (VeRA's λ). */
  readonly rowScales?: TensorLocation;
}

/** scale · B·A */
export interface LowRankChange {
  readonly rank: number;
  readonly scale: number;
  readonly a: LowRankFactor;
  readonly b: LowRankFactor;
}

/** A sparse matrix: a byte for every four inputs, two of which it has. */
export interface SparseChange {
  /** U8 `[out, in / 4]` */
  readonly codes: TensorLocation;
  /** F32 `[1, out]`: what an output's codes are multiplied by. */
  readonly scales: TensorLocation;
}

/** What is done with z = W·x + b + changes. */
export type OutputChange =
  /** y = factors ⊙ z */
  | { readonly kind: 'scale'; readonly factors: TensorLocation }
  /** DoRA: y = magnitudes ÷ ‖rows of W + changes‖ ⊙ (z − b) + b */
  | { readonly kind: 'magnitude'; readonly magnitudes: TensorLocation }
  /**
   * RoAd: outputs rotated and scaled in pairs, the first half of each group with its second; `variant` says how many of them
   * share an angle, as in PEFT's `road_1`, `road_2` and `road_4`.
   */
  | {
      readonly kind: 'rotation';
      readonly variant: 1 | 2 | 4;
      readonly groupSize: number;
      readonly angles: TensorLocation;
      readonly scales: TensorLocation;
    };

/** What an adapter does to one projection: y = output(W·(input ⊙ x) + b + low-rank + sparse). */
export interface AdaptedModule {
  readonly layer: number;
  readonly module: LoraModule;
  /** A factor for each input, before everything else. */
  readonly input?: TensorLocation;
  /** All of them are added. */
  readonly lowRank: readonly LowRankChange[];
  readonly sparse?: SparseChange;
  readonly output?: OutputChange;
}

/** A file as it was when it was validated: size and time tell whether it was written to since. */
export interface AdapterFile {
  /** Absolute. */
  readonly path: string;
  readonly bytes: number;
  /** When it had last been written, in milliseconds since 1970 (`stat`'s `mtimeMs`). */
  readonly modifiedMs: number;
}

/** What an adapter was made for: to go on with a text, or to make a vector of it. */
export type AdapterTask = 'generate' | 'embed';

/** An adapter whose configuration and every weight were checked against the base model. */
export interface Adapter {
  /** The folder's name; what clients call it. */
  readonly name: string;
  /** SHA-256 of its content, in hex: equal for equal weights whatever the name, file layout or key order. */
  readonly digest: string;
  /** What its method is called: `LoRA`, `rsLoRA`, `DoRA`, `(IA)³`, `RoAd`, `VeRA`, `MoS` or `delta`. */
  readonly kind: string;
  readonly task: AdapterTask;
  /** The text of adapter_config.json. */
  readonly config: string;
  /** Its safetensors file. */
  readonly files: readonly [AdapterFile];
  /** When the safetensors file was last written, in seconds since 1970. */
  readonly createdAt: number;
  /** In order of layer, then of `LORA_MODULES`. */
  readonly modules: readonly AdaptedModule[];
}
