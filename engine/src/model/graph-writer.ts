/**
 * Writes models as ONNX graphs: standard operators for look-ups and sums, operators of the domain `polylora` (registered by the
 * addon) for everything else.
 */
import type { ModelInfo } from '../types.ts';
import type { StoredTensor } from './decoder.ts';
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

export interface ModelGraph {
  /** A serialized ModelProto, to lie beside the weights file. */
  readonly model: Uint8Array;
  readonly jobs: readonly WeightJob[];
  /** Of the weights file. */
  readonly weightsBytes: number;
}

/** A linear layer and what the operator does before and after it. */
export interface LinearPlan {
  readonly output: string;
  /** Names of modules that share the input. */
  readonly projections: readonly string[];
  readonly input: string;
  /** Name of the root-mean-square normalization of the input. */
  readonly norm?: string;
  /** Of that normalization. */
  readonly epsilon?: number;
  /** `swiglu`: the first of two projections gates the second. */
  readonly activation?: 'swiglu' | 'gelu';
  /** Added to the product. */
  readonly residual?: string;
  /** Where adapters apply. */
  readonly adapted?: { readonly layer: number };
}

export class GraphWriter {
  readonly weights: ModelInfo['weights'];
  readonly #tensors: ReadonlyMap<string, StoredTensor>;
  readonly #file: WeightsFile;
  readonly #nodes: NodeProto[] = [];
  readonly #vectors = new Set<string>();

  constructor(tensors: ReadonlyMap<string, StoredTensor>, weights: ModelInfo['weights']) {
    this.#tensors = tensors;
    this.weights = weights;
    this.#file = new WeightsFile(weights);
  }

  finish(name: string, input: readonly ValueInfoProto[], output: readonly ValueInfoProto[]): ModelGraph {
    const model = encodeModel({
      irVersion: IR_VERSION,
      producerName: 'polylora',
      opsetImport: [
        { domain: '', version: OPSET },
        { domain: CUSTOM_DOMAIN, version: 1 },
      ],
      graph: { name, node: this.#nodes, initializer: this.#file.initializers, input, output },
    });
    return { model, jobs: this.#file.jobs, weightsBytes: this.#file.size };
  }

  /** A linear layer in one operator: norm, projections side by side with their adapters, and activation or residual sum. */
  linear(plan: LinearPlan): string {
    const { output, projections, norm, adapted, epsilon = 0 } = plan;
    const sources = projections.map((name) => this.tensor(`${name}.weight`));
    const group = this.weights === 'int8' ? quantizationGroup(sources[0]!.cols) : undefined;
    const attributes = [
      attribute.int('k', sources[0]!.cols),
      attribute.ints(
        'widths',
        sources.map((source) => source.rows),
      ),
      attribute.string('epilogue', plan.activation ?? (plan.residual === undefined ? 'store' : 'add')),
      attribute.float('epsilon', epsilon),
    ];
    if (adapted !== undefined) {
      const modules = projections.map((name) => name.slice(name.lastIndexOf('.') + 1));
      attributes.push(attribute.int('layer', adapted.layer), attribute.string('modules', modules.join(',')));
    }
    if (group !== undefined) attributes.push(attribute.int('group', group));
    const inputs = [
      plan.input,
      plan.residual ?? '',
      ...this.#file.addMatrix(`${output}.weight`, sources),
      norm === undefined ? '' : this.vector(`${norm}.weight`),
      this.#bias(plan) ?? '',
    ];
    while (inputs.at(-1) === '') inputs.pop();
    return this.custom(group === undefined ? 'Linear' : 'QuantizedLinear', output, inputs, attributes);
  }

  /** The rows of a table that `indices` says, as floats. */
  lookUp(output: string, table: string, indices: string): string {
    const stored = this.#file.addTable(table, this.tensor(table));
    const rows = this.standard('Gather', output, [stored, indices], [attribute.int('axis', 0)]);
    if (this.weights === 'f32') return rows;
    return this.standard('Cast', `${output}.f32`, [rows], [attribute.int('to', DataType.float)]);
  }

  vector(name: string): string {
    if (this.#vectors.has(name)) return name;
    this.#vectors.add(name);
    return this.#file.addVector(name, [this.tensor(name)]);
  }

  tensor(name: string): StoredTensor {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) throw new Error(`unchecked model: no tensor ${name}`);
    return tensor;
  }

  custom(opType: string, output: string, input: string[], attributes: AttributeProto[] = []): string {
    return this.#node(CUSTOM_DOMAIN, opType, output, input, attributes);
  }

  standard(opType: string, output: string, input: string[], attributes: AttributeProto[] = []): string {
    return this.#node('', opType, output, input, attributes);
  }

  #bias({ output, projections }: LinearPlan): string | undefined {
    const biases = projections.flatMap((name) => this.#tensors.get(`${name}.bias`) ?? []);
    return biases.length === 0 ? undefined : this.#file.addVector(`${output}.bias`, biases);
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

/** A graph's input or output of indices. */
export function indices(name: string, dimension: string): ValueInfoProto {
  const shape = { dim: [{ dimParam: dimension }] };
  return { name, type: { tensorType: { elemType: DataType.int64, shape } } };
}

/** Of floats, so many in a row. */
export function states(name: string, dimension: string, width: number): ValueInfoProto {
  const shape = { dim: [{ dimParam: dimension }, { dimValue: width }] };
  return { name, type: { tensorType: { elemType: DataType.float, shape } } };
}
