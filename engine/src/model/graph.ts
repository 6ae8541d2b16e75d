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
 * Inputs: `input_ids` int64 [T], the step's tokens; `sample_rows` int64 [S], the rows of T to sample from; `pooled_rows`
 * int64 [P], the rows of T whose last hidden state is wanted.
 * Outputs: `tokens` int64 [S]; `pooled` float [P, hidden], the states times the last norm's weight: of the norm itself that
 * leaves out a factor for each row, which a vector that is made of length 1 does not have.
 */
export function buildGraph(model: DecoderModel, weights: ModelInfo['weights']): DecoderGraph {
  const builder = new GraphBuilder(model, weights);
  builder.decoder();
  return builder.finish();
}

/** A linear layer and what the operator does before and after it. */
interface LinearPlan {
  readonly output: string;
  /** Names of modules that share the input. */
  readonly projections: readonly string[];
  readonly input: string;
  /** Name of the normalization of the input. */
  readonly norm?: string;
  /** Where adapters apply. */
  readonly layer?: number;
  /** The first of two projections gates the second. */
  readonly gated?: boolean;
  /** Added to the product. */
  readonly residual?: string;
}

class GraphBuilder {
  readonly #model: DecoderModel;
  readonly #weights: ModelInfo['weights'];
  readonly #file: WeightsFile;
  readonly #nodes: NodeProto[] = [];
  readonly #vectors = new Set<string>();

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
    this.#standard(
      'Mul',
      'pooled',
      [
        this.#standard('Gather', 'pooled.states', [hidden, 'pooled_rows'], [attribute.int('axis', 0)]),
        this.#vector('model.norm.weight'),
      ],
      [],
    );
    const head = tiedEmbeddings ? 'model.embed_tokens' : 'lm_head';
    const logits = this.#linear({ output: 'lm_head', projections: [head], input: last, norm: 'model.norm' });
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
        input: [ids('input_ids', 'T'), ids('sample_rows', 'S'), ids('pooled_rows', 'P')],
        output: [ids('tokens', 'S'), states('pooled', 'P', this.#model.config.hiddenSize)],
      },
    });
    return { model, jobs: this.#file.jobs, weightsBytes: this.#file.size };
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
      layer,
    });
    const norms = config.queryKeyNorm ? [`${prefix}.q_norm.weight`, `${prefix}.k_norm.weight`] : [];
    const attended = this.#custom(
      'PagedAttention',
      `${prefix}.attended`,
      [qkv, ...norms.map((name) => this.#vector(name))],
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
      layer,
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
      layer,
      gated: true,
    });
    return this.#linear({
      output: `${prefix}.down`,
      projections: [`${prefix}.down_proj`],
      input: activated,
      layer,
      residual: hidden,
    });
  }

  /** A linear layer in one operator: norm, projections side by side with their adapters, and gated activation or residual sum. */
  #linear(plan: LinearPlan): string {
    const sources = plan.projections.map((name) => this.#tensor(`${name}.weight`));
    const group = this.#weights === 'int8' ? quantizationGroup(sources[0]!.cols) : undefined;
    const { output } = plan;
    const epilogue = plan.gated ? 'swiglu' : plan.residual === undefined ? 'store' : 'add';
    const attributes = this.#layerAttributes(plan, sources, epilogue);
    if (group !== undefined) attributes.push(attribute.int('group', group));
    const inputs = [
      plan.input,
      plan.residual ?? '',
      ...this.#file.addMatrix(`${output}.weight`, sources),
      plan.norm === undefined ? '' : this.#vector(`${plan.norm}.weight`),
      this.#bias(plan) ?? '',
    ];
    while (inputs.at(-1) === '') inputs.pop();
    return this.#custom(group === undefined ? 'Linear' : 'QuantizedLinear', output, inputs, attributes);
  }

  #layerAttributes(
    { layer, projections }: LinearPlan,
    sources: readonly StoredTensor[],
    epilogue: 'store' | 'add' | 'swiglu',
  ): AttributeProto[] {
    const widths = sources.map((source) => source.rows);
    const attributes = [
      attribute.int('k', sources[0]!.cols),
      attribute.ints('widths', widths),
      attribute.string('epilogue', epilogue),
      attribute.float('epsilon', this.#model.config.rmsNormEpsilon),
    ];
    if (layer === undefined) return attributes;
    const modules = projections.map((name) => name.slice(name.lastIndexOf('.') + 1));
    return [...attributes, attribute.int('layer', layer), attribute.string('modules', modules.join(','))];
  }

  #bias({ output, projections }: LinearPlan): string | undefined {
    const biases = projections.flatMap((name) => this.#model.tensors.get(`${name}.bias`) ?? []);
    return biases.length === 0 ? undefined : this.#file.addVector(`${output}.bias`, biases);
  }

  #vector(name: string): string {
    if (this.#vectors.has(name)) return name;
    this.#vectors.add(name);
    return this.#file.addVector(name, [this.#tensor(name)]);
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

function states(name: string, dimension: string, width: number): ValueInfoProto {
  const shape = { dim: [{ dimParam: dimension }, { dimValue: width }] };
  return { name, type: { tensorType: { elemType: DataType.float, shape } } };
}
