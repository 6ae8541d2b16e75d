import type { LoraModule } from '@polylora/engine';

/** SmolLM2-135M, which all figures are measured on. */
export const SHAPE = {
  layerCount: 30,
  hiddenSize: 576,
  intermediateSize: 1536,
  headCount: 9,
  kvHeadCount: 3,
  headDim: 64,
  vocabSize: 49_152,
} as const;

/** Input and output width of each projection; the same in every layer. */
export const PROJECTIONS: Readonly<Record<LoraModule, { readonly in: number; readonly out: number }>> = {
  q_proj: { in: SHAPE.hiddenSize, out: SHAPE.headCount * SHAPE.headDim },
  k_proj: { in: SHAPE.hiddenSize, out: SHAPE.kvHeadCount * SHAPE.headDim },
  v_proj: { in: SHAPE.hiddenSize, out: SHAPE.kvHeadCount * SHAPE.headDim },
  o_proj: { in: SHAPE.headCount * SHAPE.headDim, out: SHAPE.hiddenSize },
  gate_proj: { in: SHAPE.hiddenSize, out: SHAPE.intermediateSize },
  up_proj: { in: SHAPE.hiddenSize, out: SHAPE.intermediateSize },
  down_proj: { in: SHAPE.intermediateSize, out: SHAPE.hiddenSize },
};

/** Weights that share one float32 scale. */
const GROUP = 64;
const SCALE_BYTES = 4;
const F16_BYTES = 2;

/** Bytes that one decode step of one sequence reads with int8 weights and an f16 KV cache of `context` tokens. */
export function decodeBytes(context: number): number {
  const { layerCount, hiddenSize, vocabSize, kvHeadCount, headDim } = SHAPE;
  const layer = Object.values(PROJECTIONS).reduce((sum, width) => sum + width.in * width.out, 0);
  const weights = layerCount * layer + vocabSize * hiddenSize;
  const kvPerToken = layerCount * 2 * kvHeadCount * headDim * F16_BYTES;
  return weights * (1 + SCALE_BYTES / GROUP) + context * kvPerToken;
}
