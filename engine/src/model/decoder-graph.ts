/** Writes a decoder as an ONNX graph. */
import type { ModelInfo } from '../types.ts';
import type { DecoderModel } from './decoder.ts';
import { GraphWriter, indices, type ModelGraph, states } from './graph-writer.ts';
import { attribute } from './onnx-schema.ts';

/**
 * Builds the graph and the plan of its weights.
 *
 * Inputs: `input_ids` int64 [T], the step's tokens; `sample_rows` int64 [S], the rows of T to sample from; `pooled_rows`
 * int64 [P], the rows of T whose last hidden state is wanted.
 * Outputs: `tokens` int64 [S]; `pooled` float [P, hidden], the states times the last norm's weight: of the norm itself that
 * leaves out a factor for each row, which a vector that is made of length 1 does not have.
 */
export function buildDecoderGraph(model: DecoderModel, weights: ModelInfo['weights']): ModelGraph {
  return new DecoderGraph(model, weights).build();
}

class DecoderGraph {
  readonly #model: DecoderModel;
  readonly #writer: GraphWriter;

  constructor(model: DecoderModel, weights: ModelInfo['weights']) {
    this.#model = model;
    this.#writer = new GraphWriter(model.tensors, weights);
  }

  build(): ModelGraph {
    const { architecture, hiddenSize, layerCount, tiedEmbeddings } = this.#model.config;
    const writer = this.#writer;
    let hidden = writer.lookUp('embedding', 'model.embed_tokens.weight', 'input_ids');
    for (let layer = 0; layer < layerCount; layer++) {
      hidden = this.#mlp(layer, this.#attention(layer, hidden));
    }
    const last = this.#rows('sampled', hidden, 'sample_rows');
    const pooled = this.#rows('pooled.states', hidden, 'pooled_rows');
    writer.standard('Mul', 'pooled', [pooled, writer.vector('model.norm.weight')]);
    const head = tiedEmbeddings ? 'model.embed_tokens' : 'lm_head';
    const logits = this.#linear({ output: 'lm_head', projections: [head], input: last, norm: 'model.norm' });
    writer.custom('Sample', 'tokens', [logits]);
    return writer.finish(
      architecture,
      [indices('input_ids', 'T'), indices('sample_rows', 'S'), indices('pooled_rows', 'P')],
      [indices('tokens', 'S'), states('pooled', 'P', hiddenSize)],
    );
  }

  #attention(layer: number, hidden: string): string {
    const { config } = this.#model;
    const { headCount, kvHeadCount, headDim } = config;
    const prefix = `model.layers.${layer}.self_attn`;
    const qkv = this.#linear({
      output: `${prefix}.qkv`,
      projections: [`${prefix}.q_proj`, `${prefix}.k_proj`, `${prefix}.v_proj`],
      input: hidden,
      norm: `model.layers.${layer}.input_layernorm`,
      adapted: { layer },
    });
    const norms = config.queryKeyNorm ? [`${prefix}.q_norm.weight`, `${prefix}.k_norm.weight`] : [];
    const attended = this.#writer.custom(
      'PagedAttention',
      `${prefix}.attended`,
      [qkv, ...norms.map((name) => this.#writer.vector(name))],
      [
        attribute.int('layer', layer),
        attribute.int('heads', headCount),
        attribute.int('kv_heads', kvHeadCount),
        attribute.int('head_dim', headDim),
        attribute.float('scale', 1 / Math.sqrt(headDim)),
        attribute.float('epsilon', config.rmsNormEpsilon),
        attribute.floats('inv_freq', config.inverseFrequencies),
      ],
    );
    return this.#linear({
      output: `${prefix}.o`,
      projections: [`${prefix}.o_proj`],
      input: attended,
      adapted: { layer },
      residual: hidden,
    });
  }

  #mlp(layer: number, hidden: string): string {
    const prefix = `model.layers.${layer}.mlp`;
    const activated = this.#linear({
      output: `${prefix}.gate_up`,
      projections: [`${prefix}.gate_proj`, `${prefix}.up_proj`],
      input: hidden,
      norm: `model.layers.${layer}.post_attention_layernorm`,
      activation: 'swiglu',
      adapted: { layer },
    });
    return this.#linear({
      output: `${prefix}.down`,
      projections: [`${prefix}.down_proj`],
      input: activated,
      adapted: { layer },
      residual: hidden,
    });
  }

  #linear(plan: Parameters<GraphWriter['linear']>[0]): string {
    return this.#writer.linear({ ...plan, epsilon: this.#model.config.rmsNormEpsilon });
  }

  #rows(output: string, of: string, which: string): string {
    return this.#writer.standard('Gather', output, [of, which], [attribute.int('axis', 0)]);
  }
}
