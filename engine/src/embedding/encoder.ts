/** A text encoder as its reader describes it: BERT's layers, and how its token states become one vector. */

import type { StoredTensor } from '../model/decoder.ts';
import { EngineError } from '../types.ts';

export interface EncoderConfig {
  readonly layerCount: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly headCount: number;
  readonly vocabSize: number;
  /** Longest text in tokens, special ones included. */
  readonly maxTokens: number;
  readonly layerNormEpsilon: number;
  readonly pooling: Pooling;
}

/** What a text's vector is made of: the mean of its tokens' states, or the first token's. */
export type Pooling = 'mean' | 'cls';

export interface EncoderModel {
  readonly config: EncoderConfig;
  /** By BERT's names without a prefix: `encoder.layer.0.attention.self.query.weight`. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** The content of its `tokenizer.json`. */
  readonly tokenizerJson: string;
}

/** The linear layers of layer i and their widths, in the order of the graph. */
export function layerNames(layer: number) {
  const prefix = `encoder.layer.${layer}`;
  return {
    query: `${prefix}.attention.self.query`,
    key: `${prefix}.attention.self.key`,
    value: `${prefix}.attention.self.value`,
    attentionOutput: `${prefix}.attention.output.dense`,
    attentionNorm: `${prefix}.attention.output.LayerNorm`,
    intermediate: `${prefix}.intermediate.dense`,
    output: `${prefix}.output.dense`,
    outputNorm: `${prefix}.output.LayerNorm`,
  };
}

export const WORDS = 'embeddings.word_embeddings.weight';
export const POSITIONS = 'embeddings.position_embeddings.weight';
export const TOKEN_TYPES = 'embeddings.token_type_embeddings.weight';
export const EMBEDDING_NORM = 'embeddings.LayerNorm';

/** The normalizations of the residual stream, in order. */
export function normNames(layerCount: number): string[] {
  const ofLayers = Array.from({ length: layerCount }, (_, layer) => {
    const { attentionNorm, outputNorm } = layerNames(layer);
    return [attentionNorm, outputNorm];
  });
  return [EMBEDDING_NORM, ...ofLayers.flat()];
}

/**
 * Checks that an encoder has the tensors its configuration calls for. Others (the pooler's, a head's) are not read.
 * @throws EngineError `model_corrupt`
 */
export function checkEncoder({ config, tensors }: Pick<EncoderModel, 'config' | 'tensors'>): void {
  const { layerCount, hiddenSize, intermediateSize, headCount, vocabSize, maxTokens } = config;
  if (hiddenSize % headCount !== 0) {
    throw new EngineError('model_corrupt', `${headCount} heads cannot share ${hiddenSize} channels.`);
  }
  const check = (name: string, rows: number, cols: number, atLeast = false) => {
    const found = tensors.get(name);
    if (found === undefined) throw new EngineError('model_corrupt', `The encoder has no tensor ${name}.`);
    const isLarge = atLeast ? found.rows >= rows : found.rows === rows;
    if (isLarge && found.cols === cols) return;
    const [is, needed] = [`${found.rows}×${found.cols}`, `${rows}×${cols}`];
    throw new EngineError(
      'model_corrupt',
      `Tensor ${name} is ${is} where its configuration needs ${needed}.`,
    );
  };
  const checkLinear = (name: string, rows: number, cols: number) => {
    check(`${name}.weight`, rows, cols);
    check(`${name}.bias`, rows, 1);
  };
  check(WORDS, vocabSize, hiddenSize);
  check(POSITIONS, maxTokens, hiddenSize, true);
  check(TOKEN_TYPES, 1, hiddenSize, true);
  for (const norm of normNames(layerCount)) {
    check(`${norm}.weight`, hiddenSize, 1);
    check(`${norm}.bias`, hiddenSize, 1);
  }
  for (let layer = 0; layer < layerCount; layer++) {
    const names = layerNames(layer);
    for (const name of [names.query, names.key, names.value, names.attentionOutput]) {
      checkLinear(name, hiddenSize, hiddenSize);
    }
    checkLinear(names.intermediate, intermediateSize, hiddenSize);
    checkLinear(names.output, hiddenSize, intermediateSize);
  }
}
