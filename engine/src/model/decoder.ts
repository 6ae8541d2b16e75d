/**
 * A decoder as every reader describes it: Hugging Face's names and row order, whatever the file was.
 */
import { EngineError, type ModelInfo } from '../types.ts';

export type TensorType = 'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q4_0' | 'Q4_1' | 'Q4_K' | 'Q6_K';

/** Where a matrix lies, row-major. A vector of n values has n rows and one column. */
export interface StoredTensor {
  readonly name: string;
  readonly file: string;
  /** Of the first byte, from the start of the file. */
  readonly offset: number;
  readonly type: TensorType;
  readonly rows: number;
  readonly cols: number;
  /** The number of heads, where rows are stored in llama.cpp's interleaved rotary order. */
  readonly interleavedHeads?: number;
}

export interface DecoderConfig {
  readonly architecture: ModelInfo['architecture'];
  readonly layerCount: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly headCount: number;
  readonly kvHeadCount: number;
  readonly headDim: number;
  /** Rows of the embedding table; the tokenizer may know fewer. */
  readonly vocabSize: number;
  /** Longest sequence that the model computes exactly here, in tokens. */
  readonly contextLength: number;
  readonly rmsNormEpsilon: number;
  /** Rotary frequencies, scaling applied; headDim / 2 values. */
  readonly inverseFrequencies: readonly number[];
  readonly tiedEmbeddings: boolean;
  readonly attentionBias: 'none' | 'qkv' | 'qkvo';
  readonly mlpBias: boolean;
  /** RMS norm of each head's queries and keys (Qwen3). */
  readonly queryKeyNorm: boolean;
}

/** What turns a chat into the prompt's tokens, and which tokens end an answer. */
export interface ModelText {
  /** The content of a Hugging Face `tokenizer.json`. */
  readonly tokenizerJson: string;
  readonly chatTemplate: string | null;
  readonly bosToken: string | null;
  readonly eosToken: string | null;
  readonly eosTokenIds: readonly number[];
}

export interface DecoderModel {
  readonly config: DecoderConfig;
  /** By Hugging Face name. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly text: ModelText;
}

/** The attention kernel computes this many values of a head at once. */
const HEAD_DIM_MULTIPLE = 8;

type Shape = readonly [rows: number, cols: number];

/** The tensors a decoder must have, by Hugging Face name, with their shapes. */
export function expectedTensors(config: DecoderConfig): Map<string, Shape> {
  const { hiddenSize, intermediateSize, headDim, vocabSize } = config;
  const queryWidth = config.headCount * headDim;
  const keyWidth = config.kvHeadCount * headDim;
  const shapes = new Map<string, Shape>([
    ['model.embed_tokens.weight', [vocabSize, hiddenSize]],
    ['model.norm.weight', [hiddenSize, 1]],
  ]);
  if (!config.tiedEmbeddings) shapes.set('lm_head.weight', [vocabSize, hiddenSize]);

  const addLinear = (name: string, rows: number, cols: number, bias: boolean) => {
    shapes.set(`${name}.weight`, [rows, cols]);
    if (bias) shapes.set(`${name}.bias`, [rows, 1]);
  };
  for (let layer = 0; layer < config.layerCount; layer++) {
    const prefix = `model.layers.${layer}`;
    const qkvBias = config.attentionBias !== 'none';
    shapes.set(`${prefix}.input_layernorm.weight`, [hiddenSize, 1]);
    addLinear(`${prefix}.self_attn.q_proj`, queryWidth, hiddenSize, qkvBias);
    addLinear(`${prefix}.self_attn.k_proj`, keyWidth, hiddenSize, qkvBias);
    addLinear(`${prefix}.self_attn.v_proj`, keyWidth, hiddenSize, qkvBias);
    addLinear(`${prefix}.self_attn.o_proj`, hiddenSize, queryWidth, config.attentionBias === 'qkvo');
    if (config.queryKeyNorm) {
      shapes.set(`${prefix}.self_attn.q_norm.weight`, [headDim, 1]);
      shapes.set(`${prefix}.self_attn.k_norm.weight`, [headDim, 1]);
    }
    shapes.set(`${prefix}.post_attention_layernorm.weight`, [hiddenSize, 1]);
    addLinear(`${prefix}.mlp.gate_proj`, intermediateSize, hiddenSize, config.mlpBias);
    addLinear(`${prefix}.mlp.up_proj`, intermediateSize, hiddenSize, config.mlpBias);
    addLinear(`${prefix}.mlp.down_proj`, hiddenSize, intermediateSize, config.mlpBias);
  }
  return shapes;
}

/**
 * Checks that the file holds exactly the tensors that the configuration calls for.
 *
 * @throws EngineError `model_corrupt` for a missing tensor or wrong shape, `model_not_supported` for a tensor
 * that this decoder would leave out.
 */
export function checkTensors(config: DecoderConfig, tensors: ReadonlyMap<string, StoredTensor>): void {
  const expected = expectedTensors(config);
  for (const [name, [rows, cols]] of expected) {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new EngineError('model_corrupt', `The model has no tensor ${name}.`);
    if (tensor.rows !== rows || tensor.cols !== cols) {
      const [found, needed] = [`${tensor.rows}×${tensor.cols}`, `${rows}×${cols}`];
      throw new EngineError(
        'model_corrupt',
        `Tensor ${name} is ${found} where its configuration needs ${needed}.`,
      );
    }
  }
  for (const name of tensors.keys()) {
    if (!expected.has(name)) {
      throw new EngineError(
        'model_not_supported',
        `The model has a tensor ${name}, which no supported ${config.architecture} decoder uses.`,
      );
    }
  }
}

/**
 * Checks what any reader's configuration must keep for the kernels to run it.
 *
 * @throws EngineError `model_not_supported` or `model_corrupt`, naming the value.
 */
export function checkConfig(config: DecoderConfig): void {
  const counts = {
    layerCount: config.layerCount,
    hiddenSize: config.hiddenSize,
    intermediateSize: config.intermediateSize,
    headCount: config.headCount,
    kvHeadCount: config.kvHeadCount,
    headDim: config.headDim,
    vocabSize: config.vocabSize,
    contextLength: config.contextLength,
  };
  for (const [name, value] of Object.entries(counts)) {
    if (!Number.isSafeInteger(value) || value < 1 || value > 2 ** 30) {
      throw new EngineError(
        'model_corrupt',
        `The model's ${name} is ${value}; it must be a positive integer.`,
      );
    }
  }
  if (config.headCount % config.kvHeadCount !== 0) {
    throw new EngineError(
      'model_corrupt',
      `${config.headCount} attention heads cannot share ${config.kvHeadCount} key-value heads evenly.`,
    );
  }
  if (config.headDim % HEAD_DIM_MULTIPLE !== 0) {
    throw new EngineError(
      'model_not_supported',
      `The model's head width (head_dim) is ${config.headDim}; only multiples of ${HEAD_DIM_MULTIPLE} are supported.`,
    );
  }
  if (!(config.rmsNormEpsilon > 0 && config.rmsNormEpsilon < 1)) {
    throw new EngineError('model_corrupt', `The model's RMS norm epsilon is ${config.rmsNormEpsilon}.`);
  }
  const { inverseFrequencies } = config;
  if (inverseFrequencies.length !== config.headDim / 2 || !inverseFrequencies.every(Number.isFinite)) {
    throw new EngineError(
      'model_corrupt',
      'The rotary frequencies do not fit the head width or are not finite.',
    );
  }
}
