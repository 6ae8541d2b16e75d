/**
 * Writes an encoder as an ONNX graph of standard operators.
 *
 * No row of it depends on another text's: texts that run together have the same number of tokens, so there is nothing to
 * mask, and eight-bit codes have scales for each row. Pooling is not in it, because ONNX Runtime sums over tokens in an order
 * that depends on how many texts there are.
 */
import { attribute, DataType, encodeModel, type NodeProto } from '../model/onnx-schema.ts';
import {
  EMBEDDING_NORM,
  type EncoderConfig,
  layerNames,
  normNames,
  POSITIONS,
  TOKEN_TYPES,
  WORDS,
} from './encoder.ts';
import { outlierChannels, quantizeRows, rowSums, ZERO_CODE } from './quantize.ts';
import { TensorFile } from './tensor-file.ts';

const IR_VERSION = 10;
const OPSET = 21;

/** Channels of the residual stream that are multiplied as floats beside eight-bit ones. */
const OUTLIERS = 16;

/** GELU is nowhere below −0.17: with so much added, its values take all of the codes. */
const GELU_SHIFT = 0.17;

/** Codes that an activation can have on either side of 0, and where it has one side only. */
const SIGNED_CODES = 127;
const UNSIGNED_CODES = 255;

/** A row of zeros has this as its largest value. */
const TINY = 1e-30;

export type EncoderWeights = 'int8' | 'f32';

/** A tensor's values, row-major, by BERT's names. */
export type TensorReader = (name: string) => Float32Array;

export interface EncoderGraph {
  /** A serialized ModelProto, to lie beside the weights. */
  readonly model: Uint8Array;
  readonly weights: Uint8Array;
}

export const INPUT = 'input_ids';
export const OUTPUT = 'last_states';
export const TOKEN_OUTPUT = 'token_states';

/**
 * Layers after which a token's state is still about the token. What tells siblings and opposites apart (two cities, "minimum" and
 * "maximum") is lost on the way to the last layer, whose states are about the whole text.
 */
const TOKEN_LAYERS = 2;

/**
 * Input: `input_ids` int64 [texts, tokens]. Outputs: `last_states` and `token_states`, float
 * [texts, tokens, width], of all layers and of the first ones.
 * @param weightsFile name of the file that `weights` will be in
 */
export function buildEncoderGraph(
  config: EncoderConfig,
  read: TensorReader,
  weights: EncoderWeights,
  weightsFile: string,
): EncoderGraph {
  const builder = new EncoderGraphBuilder(config, read, weights, weightsFile);
  builder.encoder();
  return builder.finish();
}

interface LinearOptions {
  /** Its input comes from the residual stream, with its outliers. */
  readonly residual?: boolean;
  /** Its input is GELU's. */
  readonly gelu?: boolean;
}

class EncoderGraphBuilder {
  readonly #config: EncoderConfig;
  readonly #read: TensorReader;
  readonly #weights: EncoderWeights;
  readonly #file: TensorFile;
  readonly #nodes: NodeProto[] = [];
  readonly #constants = new Map<string, string>();
  readonly #outliers: readonly number[];

  constructor(config: EncoderConfig, read: TensorReader, weights: EncoderWeights, weightsFile: string) {
    this.#config = config;
    this.#read = read;
    this.#weights = weights;
    this.#file = new TensorFile(weightsFile);
    const norms = normNames(config.layerCount).map((name) => ({
      gain: read(`${name}.weight`),
      bias: read(`${name}.bias`),
    }));
    this.#outliers = outlierChannels(norms, Math.min(OUTLIERS, config.hiddenSize));
  }

  encoder(): void {
    const { hiddenSize, headCount, layerCount } = this.#config;
    const shape = this.#node('Shape', 'shape', [INPUT]);
    const texts = this.#node('Slice', 'texts', [shape, this.#ints([0]), this.#ints([1])]);
    const tokens = this.#node('Slice', 'tokens', [shape, this.#ints([1]), this.#ints([2])]);
    const headShape = this.#node(
      'Concat',
      'head_shape',
      [texts, tokens, this.#ints([headCount, hiddenSize / headCount])],
      [attribute.int('axis', 0)],
    );
    let hidden = this.#norm(EMBEDDING_NORM, this.#embeddings(tokens));
    let early = hidden;
    for (let layer = 0; layer < layerCount; layer++) {
      hidden = this.#layer(layer, hidden, headShape);
      if (layer < TOKEN_LAYERS) early = hidden;
    }
    const stateShape = this.#node(
      'Concat',
      'state_shape',
      [shape, this.#ints([hiddenSize])],
      [attribute.int('axis', 0)],
    );
    this.#node('Reshape', OUTPUT, [hidden, stateShape]);
    this.#node('Reshape', TOKEN_OUTPUT, [early, stateShape]);
  }

  finish(): EncoderGraph {
    const { hiddenSize } = this.#config;
    const [texts, tokens] = [{ dimParam: 'texts' }, { dimParam: 'tokens' }];
    const states = { dim: [texts, tokens, { dimValue: hiddenSize }] };
    const model = encodeModel({
      irVersion: IR_VERSION,
      producerName: 'polylora',
      opsetImport: [{ domain: '', version: OPSET }],
      graph: {
        name: 'bert',
        node: this.#nodes,
        initializer: this.#file.initializers,
        input: [
          {
            name: INPUT,
            type: { tensorType: { elemType: DataType.int64, shape: { dim: [texts, tokens] } } },
          },
        ],
        output: [OUTPUT, TOKEN_OUTPUT].map((name) => ({
          name,
          type: { tensorType: { elemType: DataType.float, shape: states } },
        })),
      },
    });
    return { model, weights: this.#file.content() };
  }

  /** Words, positions and the type of a first segment, one row for each token. */
  #embeddings(tokens: string): string {
    const { hiddenSize, maxTokens } = this.#config;
    const type = this.#read(TOKEN_TYPES).subarray(0, hiddenSize);
    const positions = this.#read(POSITIONS).slice(0, maxTokens * hiddenSize);
    for (let i = 0; i < positions.length; i++) positions[i]! += type[i % hiddenSize]!;
    const table = this.#file.add('positions', [maxTokens, hiddenSize], positions);
    const position = this.#node('Slice', 'position', [table, this.#ints([0]), tokens]);
    const embedded = this.#node('Add', 'embedded', [this.#words(), position]);
    return this.#node('Reshape', 'embedded.rows', [embedded, this.#ints([-1, hiddenSize])]);
  }

  #words(): string {
    const { hiddenSize, vocabSize } = this.#config;
    const values = this.#read(WORDS);
    const look = (output: string, table: string) =>
      this.#node('Gather', output, [table, INPUT], [attribute.int('axis', 0)]);
    if (this.#weights === 'f32') {
      return look('word', this.#file.add('words', [vocabSize, hiddenSize], values));
    }
    const { codes, scales } = quantizeRows(values, vocabSize, false);
    const code = look('word.codes', this.#file.add('words.codes', [vocabSize, hiddenSize], codes));
    const scale = look('word.scale', this.#file.add('words.scales', [vocabSize, 1], scales));
    const centred = this.#node('Sub', 'word.centred', [
      this.#float('word.f32', code),
      this.#scalar(ZERO_CODE),
    ]);
    return this.#node('Mul', 'word', [centred, scale]);
  }

  #layer(layer: number, hidden: string, headShape: string): string {
    const { hiddenSize, headCount } = this.#config;
    const names = layerNames(layer);
    const prefix = `layer.${layer}`;
    const qkv = this.#linear(`${prefix}.qkv`, [names.query, names.key, names.value], hidden, {
      residual: true,
    });
    const split = [`${prefix}.q`, `${prefix}.k`, `${prefix}.v`];
    this.#nodes.push({
      name: `${prefix}.split`,
      opType: 'Split',
      domain: '',
      input: [qkv],
      output: split,
      attribute: [attribute.int('axis', 1), attribute.int('num_outputs', 3)],
    });
    const heads = (name: string, order: number[]) => {
      const reshaped = this.#node('Reshape', `${name}.heads`, [name, headShape]);
      return this.#transposed(reshaped, order);
    };
    const [q, k, v] = [
      heads(split[0]!, [0, 2, 1, 3]),
      heads(split[1]!, [0, 2, 3, 1]),
      heads(split[2]!, [0, 2, 1, 3]),
    ];
    const scores = this.#node('Mul', `${prefix}.scores`, [
      this.#node('MatMul', `${prefix}.products`, [q, k]),
      this.#scalar(1 / Math.sqrt(hiddenSize / headCount)),
    ]);
    const shares = this.#node('Softmax', `${prefix}.shares`, [scores], [attribute.int('axis', -1)]);
    const mixed = this.#transposed(this.#node('MatMul', `${prefix}.mixed`, [shares, v]), [0, 2, 1, 3]);
    const attended = this.#node('Reshape', `${prefix}.attended`, [mixed, this.#ints([-1, hiddenSize])]);
    const first = this.#linear(`${prefix}.attention`, [names.attentionOutput], attended);
    const middle = this.#norm(names.attentionNorm, this.#node('Add', `${prefix}.first`, [first, hidden]));
    const wide = this.#linear(`${prefix}.wide`, [names.intermediate], middle, { residual: true });
    const activated = this.#node('Gelu', `${prefix}.activated`, [wide]);
    const narrow = this.#linear(`${prefix}.narrow`, [names.output], activated, { gelu: true });
    return this.#norm(names.outputNorm, this.#node('Add', `${prefix}.second`, [narrow, middle]));
  }

  /** Layers of one input side by side. */
  #linear(name: string, modules: readonly string[], input: string, options: LinearOptions = {}): string {
    const weight = joined(modules.map((module) => this.#read(`${module}.weight`)));
    const bias = joined(modules.map((module) => this.#read(`${module}.bias`)));
    const [rows, cols] = [bias.length, weight.length / bias.length];
    if (this.#weights === 'int8') return this.#quantized(name, weight, bias, input, options);
    return this.#node(
      'Gemm',
      name,
      [
        input,
        this.#file.add(`${name}.weight`, [rows, cols], weight),
        this.#file.add(`${name}.bias`, [rows], bias),
      ],
      [attribute.int('transB', 1)],
    );
  }

  /** Rows and weights as eight-bit codes, both unsigned: with signed weights, some processors' sums of pairs overflow. */
  #quantized(
    name: string,
    weight: Float32Array,
    bias: Float32Array,
    input: string,
    { residual = false, gelu = false }: LinearOptions,
  ): string {
    const [rows, cols] = [bias.length, weight.length / bias.length];
    const split = residual ? this.#withoutOutliers(name, weight, bias, input) : null;
    const quantized = quantizeRows(split?.weight ?? weight, rows, true);
    if (gelu) {
      const sums = rowSums(quantized);
      bias = bias.map((value, row) => value - GELU_SHIFT * sums[row]!);
    }
    const { codes, scale, zero } = this.#quantizedInput(name, split?.input ?? input, gelu);
    const product = this.#node('MatMulInteger', `${name}.product`, [
      codes,
      this.#file.add(`${name}.codes`, [cols, rows], quantized.codes),
      this.#code(zero),
      this.#code(ZERO_CODE),
    ]);
    const scaled = this.#node('Mul', `${name}.by_row`, [this.#float(`${name}.f32`, product), scale]);
    const scales = this.#file.add(`${name}.scales`, [rows], quantized.scales);
    return this.#node('Add', name, [
      this.#node('Mul', `${name}.scaled`, [scaled, scales]),
      split?.added ?? this.#file.add(`${name}.bias`, [rows], bias),
    ]);
  }

  /** Takes the residual stream's outliers out of a product, and gives what they add with the bias. */
  #withoutOutliers(name: string, weight: Float32Array, bias: Float32Array, input: string) {
    const [rows, cols] = [bias.length, weight.length / bias.length];
    const outliers = this.#outliers;
    const rest = weight.slice();
    const own = new Float32Array(rows * outliers.length);
    for (let row = 0; row < rows; row++) {
      for (const [index, channel] of outliers.entries()) {
        own[row * outliers.length + index] = weight[row * cols + channel]!;
        rest[row * cols + channel] = 0;
      }
    }
    const picked = this.#node(
      'Gather',
      `${name}.outliers`,
      [input, this.#ints(outliers)],
      [attribute.int('axis', 1)],
    );
    const added = this.#node(
      'Gemm',
      `${name}.of_outliers`,
      [
        picked,
        this.#file.add(`${name}.outlier_weight`, [rows, outliers.length], own),
        this.#file.add(`${name}.bias`, [rows], bias),
      ],
      [attribute.int('transB', 1)],
    );
    return { input: this.#node('Mul', `${name}.rest`, [input, this.#mask()]), weight: rest, added };
  }

  #quantizedInput(
    name: string,
    input: string,
    gelu: boolean,
  ): { codes: string; scale: string; zero: number } {
    const most = gelu ? UNSIGNED_CODES : SIGNED_CODES;
    const shifted = gelu ? this.#node('Add', `${name}.shifted`, [input, this.#scalar(GELU_SHIFT)]) : input;
    const sizes = gelu ? shifted : this.#node('Abs', `${name}.sizes`, [shifted]);
    const largest = this.#node('Max', `${name}.largest`, [
      this.#node(
        'ReduceMax',
        `${name}.largest_or_0`,
        [sizes, this.#ints([1])],
        [attribute.int('keepdims', 1)],
      ),
      this.#scalar(TINY),
    ]);
    const perUnit = this.#node('Div', `${name}.per_unit`, [this.#scalar(most), largest]);
    const steps = this.#node('Round', `${name}.steps`, [
      this.#node('Mul', `${name}.in_steps`, [shifted, perUnit]),
    ]);
    const zero = gelu ? 0 : ZERO_CODE;
    const fromZero = gelu ? steps : this.#node('Add', `${name}.from_zero`, [steps, this.#scalar(zero)]);
    const codes = this.#node('Cast', `${name}.input`, [fromZero], [attribute.int('to', DataType.uint8)]);
    return { codes, scale: this.#node('Mul', `${name}.scale`, [largest, this.#scalar(1 / most)]), zero };
  }

  #norm(name: string, input: string): string {
    const { hiddenSize, layerNormEpsilon } = this.#config;
    return this.#node(
      'LayerNormalization',
      name,
      [
        input,
        this.#file.add(`${name}.weight`, [hiddenSize], this.#read(`${name}.weight`)),
        this.#file.add(`${name}.bias`, [hiddenSize], this.#read(`${name}.bias`)),
      ],
      [attribute.int('axis', -1), attribute.float('epsilon', layerNormEpsilon)],
    );
  }

  #transposed(input: string, order: number[]): string {
    return this.#node('Transpose', `${input}.transposed`, [input], [attribute.ints('perm', order)]);
  }

  #float(output: string, input: string): string {
    return this.#node('Cast', output, [input], [attribute.int('to', DataType.float)]);
  }

  /** 0 for each outlier and 1 for every other channel. */
  #mask(): string {
    return this.#constant('mask', (name) => {
      const mask = new Float32Array(this.#config.hiddenSize).fill(1);
      for (const channel of this.#outliers) mask[channel] = 0;
      this.#file.add(name, [mask.length], mask);
    });
  }

  #code(value: number): string {
    return this.#constant(`code ${value}`, (name) => {
      this.#file.add(name, [], Uint8Array.of(value));
    });
  }

  #scalar(value: number): string {
    return this.#constant(`float ${value}`, (name) => {
      this.#node('Constant', name, [], [attribute.float('value_float', value)]);
    });
  }

  #ints(values: readonly number[]): string {
    return this.#constant(`ints ${values}`, (name) => {
      this.#node('Constant', name, [], [attribute.ints('value_ints', values)]);
    });
  }

  #constant(name: string, define: (name: string) => void): string {
    const known = this.#constants.get(name);
    if (known !== undefined) return known;
    this.#constants.set(name, name);
    define(name);
    return name;
  }

  #node(opType: string, output: string, input: string[], attributes: NodeProto['attribute'] = []): string {
    this.#nodes.push({ name: output, opType, domain: '', input, output: [output], attribute: attributes });
    return output;
  }
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}
