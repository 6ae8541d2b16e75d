/** Writes an encoder as an ONNX graph. No row of it depends on another text's. */

import { GraphWriter, indices, type ModelGraph, states } from '../model/graph-writer.ts';
import { attribute } from '../model/onnx-schema.ts';
import type { ModelInfo } from '../types.ts';
import { EMBEDDING_NORM, type EncoderModel, layerNames, POSITIONS, TOKEN_TYPES, WORDS } from './encoder.ts';

/**
 * Layers after which a token's state is still about the token. What tells siblings and opposites apart (two cities, "minimum" and
 * "maximum") is lost on the way to the last layer, whose states are about the whole text.
 */
const TOKEN_LAYERS = 2;

/**
 * Builds the graph and the plan of its weights.
 *
 * Inputs: `input_ids` int64 [T], the tokens of texts, one after the other; `positions` int64 [T], their places in their texts;
 * `lengths` int64 [N], the texts' numbers of tokens. Outputs: `last_states` and `token_states` float [T, width], after all
 * layers and after the first ones.
 */
export function buildEncoderGraph(
  model: Pick<EncoderModel, 'config' | 'tensors'>,
  weights: ModelInfo['weights'],
): ModelGraph {
  return new EncoderGraph(model, weights).build();
}

class EncoderGraph {
  readonly #config: EncoderModel['config'];
  readonly #writer: GraphWriter;

  constructor({ config, tensors }: Pick<EncoderModel, 'config' | 'tensors'>, weights: ModelInfo['weights']) {
    this.#config = config;
    this.#writer = new GraphWriter(tensors, weights);
  }

  build(): ModelGraph {
    const { hiddenSize, layerCount } = this.#config;
    let hidden = this.#norm(EMBEDDING_NORM, this.#embedded());
    let early = hidden;
    for (let layer = 0; layer < layerCount; layer++) {
      hidden = this.#layer(layer, hidden);
      if (layer < TOKEN_LAYERS) early = hidden;
    }
    this.#writer.standard('Identity', 'last_states', [hidden]);
    this.#writer.standard('Identity', 'token_states', [early]);
    return this.#writer.finish(
      'bert',
      [indices('input_ids', 'T'), indices('positions', 'T'), indices('lengths', 'N')],
      [states('last_states', 'T', hiddenSize), states('token_states', 'T', hiddenSize)],
    );
  }

  /** Words, positions, and the type of a first segment. */
  #embedded(): string {
    const writer = this.#writer;
    const first = writer.standard('Constant', 'first', [], [attribute.ints('value_ints', [0])]);
    const word = writer.lookUp('word', WORDS, 'input_ids');
    const position = writer.lookUp('position', POSITIONS, 'positions');
    const type = writer.lookUp('type', TOKEN_TYPES, first);
    return writer.standard('Add', 'embedded', [writer.standard('Add', 'placed', [word, position]), type]);
  }

  #layer(layer: number, hidden: string): string {
    const { hiddenSize, headCount } = this.#config;
    const names = layerNames(layer);
    const prefix = `layer.${layer}`;
    const writer = this.#writer;
    const qkv = writer.linear({
      output: `${prefix}.qkv`,
      projections: [names.query, names.key, names.value],
      input: hidden,
    });
    const headDim = hiddenSize / headCount;
    const attended = writer.custom(
      'EncoderAttention',
      `${prefix}.attended`,
      [qkv, 'lengths'],
      [
        attribute.int('heads', headCount),
        attribute.int('head_dim', headDim),
        attribute.float('scale', 1 / Math.sqrt(headDim)),
      ],
    );
    const middle = this.#norm(
      names.attentionNorm,
      writer.linear({
        output: `${prefix}.attention`,
        projections: [names.attentionOutput],
        input: attended,
        residual: hidden,
      }),
    );
    const wide = writer.linear({
      output: `${prefix}.wide`,
      projections: [names.intermediate],
      input: middle,
      activation: 'gelu',
    });
    const narrow = writer.linear({
      output: `${prefix}.narrow`,
      projections: [names.output],
      input: wide,
      residual: middle,
    });
    return this.#norm(names.outputNorm, narrow);
  }

  #norm(name: string, input: string): string {
    const { layerNormEpsilon } = this.#config;
    return this.#writer.standard(
      'LayerNormalization',
      name,
      [input, this.#writer.vector(`${name}.weight`), this.#writer.vector(`${name}.bias`)],
      [attribute.int('axis', -1), attribute.float('epsilon', layerNormEpsilon)],
    );
  }
}
