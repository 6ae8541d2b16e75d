/**
 * Writes a decoder as an ONNX graph: standard operators for look-ups and sums, operators of the domain
 * `polylora` (registered by the addon) for everything else.
 */
import type { ModelInfo } from '../types.ts';
import type { DecoderModel, StoredTensor } from './decoder.ts';
import {
  type AttributeProto,
  attribute,
  DataType,
  encodeModel,
  type NodeProto,
  type ValueInfoProto,
} from './onnx-schema.ts';
import { quantizationGroup, type WeightJob, WeightsFile } from './weights-file.ts';

const CUSTOM_DOMAIN = 'polylora';
const IR_VERSION = 10;
const OPSET = 21;

export interface DecoderGraph {
  /** A serialized ModelProto, to lie beside the weights file. */
  readonly model: Uint8Array;
  readonly jobs: readonly WeightJob[];
  /** Of the weights file. */
  readonly weightsBytes: number;
}

/**
 * Builds the graph and the plan of its weights.
 *
 * Inputs: `input_ids` int64 [T], the step's tokens; `sample_rows` int64 [S], the rows of T to sample from.
 * Output: `tokens` int64 [S].
 */
export function buildGraph(model: DecoderModel, weights: ModelInfo['weights']): DecoderGraph {
  const builder = new GraphBuilder(model, weights);
  builder.decoder();
  return builder.finish();
}

class GraphBuilder {
  readonly #model: DecoderModel;
  readonly #weights: ModelInfo['weights'];
  readonly #file: WeightsFile;
  readonly #nodes: NodeProto[] = [];

  constructor(model: DecoderModel, weights: ModelInfo['weights']) {
    this.#model = model;
    this.#weights = weights;
    this.#file = new WeightsFile(weights);
  }

  decoder(): void {
    const { layerCount, tiedEmbeddings } = this.#model.config;
    const table = this.#file.addTable('model.embed_tokens.weight', this.#tensor('model.embed_tokens.weight'));
    let hidden = this.#standard('Gather', 'embedding', [table, 'input_ids'], [attribute.int('axis', 0)]);
    if (this.#weights === 'int8') {
      hidden = this.#standard('Cast', 'embedding.f32', [hidden], [attribute.int('to', DataType.float)]);
    }
    for (let layer = 0; layer < layerCount; layer++) {
      hidden = this.#mlp(layer, this.#attention(layer, hidden));
    }
    const last = this.#standard('Gather', 'sampled', [hidden, 'sample_rows'], [attribute.int('axis', 0)]);
    const head = tiedEmbeddings ? 'model.embed_tokens' : 'lm_head';
    const logits = this.#linear('lm_head', [head], this.#norm('model.norm', last));
    this.#custom('Sample', 'tokens', [logits], []);
  }

  finish(): DecoderGraph {
    const model = encodeModel({
      irVersion: IR_VERSION,
      producerName: 'polylora',
      opsetImport: [
        { domain: '', version: OPSET },
        { domain: CUSTOM_DOMAIN, version: 1 },
      ],
      graph: {
        name: this.#model.config.architecture,
        node: this.#nodes,
        initializer: this.#file.initializers,
        input: [ids('input_ids', 'T'), ids('sample_rows', 'S')],
        output: [ids('tokens', 'S')],
      },
    });
    return { model, jobs: this.#file.jobs, weightsBytes: this.#file.size };
  }

  #attention(layer: number, hidden: string): string {
    const { config } = this.#model;
    const { headCount, kvHeadCount, headDim } = config;
    const prefix = `model.layers.${layer}.self_attn`;
    const projections = [`${prefix}.q_proj`, `${prefix}.k_proj`, `${prefix}.v_proj`];
    const normed = this.#norm(`model.layers.${layer}.input_layernorm`, hidden);
    const qkv = this.#adapted(layer, `${prefix}.qkv`, projections, normed);
    const norms = config.queryKeyNorm ? [`${prefix}.q_norm.weight`, `${prefix}.k_norm.weight`] : [];
    const attended = this.#custom(
      'PagedAttention',
      `${prefix}.attended`,
      [qkv, ...norms.map((name) => this.#file.addVector(name, [this.#tensor(name)]))],
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
    const output = this.#adapted(layer, `${prefix}.o`, [`${prefix}.o_proj`], attended);
    return this.#standard('Add', `${prefix}.residual`, [hidden, output], []);
  }

  #mlp(layer: number, hidden: string): string {
    const prefix = `model.layers.${layer}.mlp`;
    const normed = this.#norm(`model.layers.${layer}.post_attention_layernorm`, hidden);
    const projections = [`${prefix}.gate_proj`, `${prefix}.up_proj`];
    const gateUp = this.#adapted(layer, `${prefix}.gate_up`, projections, normed);
    const activated = this.#custom('SwiGlu', `${prefix}.activated`, [gateUp], []);
    const output = this.#adapted(layer, `${prefix}.down`, [`${prefix}.down_proj`], activated);
    return this.#standard('Add', `${prefix}.residual`, [hidden, output], []);
  }

  #norm(name: string, input: string): string {
    const weight = this.#file.addVector(`${name}.weight`, [this.#tensor(`${name}.weight`)]);
    const epsilon = attribute.float('epsilon', this.#model.config.rmsNormEpsilon);
    return this.#custom('RmsNorm', name, [input, weight], [epsilon]);
  }

  /** Projections of one input, side by side, each with its adapters' share. */
  #adapted(layer: number, output: string, projections: readonly string[], input: string): string {
    const base = this.#linear(`${output}.base`, projections, input);
    const modules = projections.map((name) => name.slice(name.lastIndexOf('.') + 1));
    const widths = projections.map((name) => this.#tensor(`${name}.weight`).rows);
    return this.#custom(
      'BatchedLora',
      output,
      [input, base],
      [
        attribute.int('layer', layer),
        attribute.string('modules', modules.join(',')),
        attribute.ints('widths', widths),
      ],
    );
  }

  #linear(output: string, projections: readonly string[], input: string): string {
    const sources = projections.map((name) => this.#tensor(`${name}.weight`));
    const n = sources.reduce((sum, source) => sum + source.rows, 0);
    const k = sources[0]!.cols;
    const inputs = [input, ...this.#file.addMatrix(`${output}.weight`, sources)];
    const biases = projections.flatMap((name) => this.#model.tensors.get(`${name}.bias`) ?? []);
    if (biases.length > 0) inputs.push(this.#file.addVector(`${output}.bias`, biases));

    const attributes = [attribute.int('n', n), attribute.int('k', k)];
    if (this.#weights === 'f32') return this.#custom('Linear', output, inputs, attributes);
    attributes.push(attribute.int('group', quantizationGroup(k, output)));
    return this.#custom('QuantizedLinear', output, inputs, attributes);
  }

  #tensor(name: string): StoredTensor {
    const tensor = this.#model.tensors.get(name);
    if (tensor === undefined) throw new Error(`unchecked model: no tensor ${name}`);
    return tensor;
  }

  #custom(opType: string, output: string, input: string[], attributes: AttributeProto[]): string {
    return this.#node(CUSTOM_DOMAIN, opType, output, input, attributes);
  }

  #standard(opType: string, output: string, input: string[], attributes: AttributeProto[]): string {
    return this.#node('', opType, output, input, attributes);
  }

  #node(
    domain: string,
    opType: string,
    output: string,
    input: string[],
    attributes: AttributeProto[],
  ): string {
    this.#nodes.push({ name: output, opType, domain, input, output: [output], attribute: attributes });
    return output;
  }
}

function ids(name: string, dimension: string): ValueInfoProto {
  const shape = { dim: [{ dimParam: dimension }] };
  return { name, type: { tensorType: { elemType: DataType.int64, shape } } };
}
