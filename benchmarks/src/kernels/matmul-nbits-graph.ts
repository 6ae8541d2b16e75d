import { randomFillSync } from 'node:crypto';
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import {
  attribute,
  DataType,
  encodeModel,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from '../../../engine/dist/model/onnx-schema.js';
import { PROJECTIONS, SHAPE } from '../default-model.ts';

/** As in the graph of a model whose widths our kernel cannot take: 8 bits, a scale for each 32 inputs. */
const BITS = 8;
const BLOCK = 32;
/** Activations in 8 bits, as ours: the fastest. Lower levels unpack all weights to float32 in each call. */
const ACCURACY_LEVEL = 4;
const WEIGHTS_FILE = 'weights.bin';
const SCALE = 2 ** -10;

/** A product of the model: the input it takes, its widths. */
interface Product {
  readonly name: string;
  readonly input: 'hidden' | 'intermediate' | 'sampled';
  readonly k: number;
  readonly n: number;
}

/**
 * Writes a graph for the Rust side of the benchmark: every linear layer of the model as a `MatMulNBits` with random
 * weights of its own. A result is used for nothing but its shape, so that no other operator costs time.
 * @returns the graph's path
 */
export function writeMatMulNBitsGraph(folder: string): string {
  const products = modelProducts();
  const initializers = writeWeights(join(folder, WEIGHTS_FILE), products);
  const path = join(folder, 'graph.onnx');
  writeFileSync(path, encodeGraph(products, initializers));
  return path;
}

function modelProducts(): Product[] {
  const { hiddenSize, intermediateSize, layerCount, vocabSize } = SHAPE;
  const { q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj } = PROJECTIONS;
  const layers = Array.from({ length: layerCount }, (_, layer): Product[] => [
    { name: `${layer}.qkv`, input: 'hidden', k: hiddenSize, n: q_proj.out + k_proj.out + v_proj.out },
    { name: `${layer}.o`, input: 'hidden', k: hiddenSize, n: o_proj.out },
    { name: `${layer}.gate_up`, input: 'hidden', k: hiddenSize, n: gate_proj.out + up_proj.out },
    { name: `${layer}.down`, input: 'intermediate', k: intermediateSize, n: hiddenSize },
  ]);
  return [...layers.flat(), { name: 'lm_head', input: 'sampled', k: hiddenSize, n: vocabSize }];
}

/** Writes codes and scales one after the other. */
function writeWeights(path: string, products: readonly Product[]): TensorProto[] {
  const file = openSync(path, 'w');
  const tensors: TensorProto[] = [];
  let offset = 0;
  const write = (name: string, dims: readonly number[], dataType: number, bytes: Uint8Array) => {
    writeSync(file, bytes);
    const place = { location: WEIGHTS_FILE, offset: String(offset), length: String(bytes.length) };
    const externalData = Object.entries(place).map(([key, value]) => ({ key, value }));
    tensors.push({ name, dims, dataType, dataLocation: 1, externalData });
    offset += bytes.length;
  };
  for (const { name, k, n } of products) {
    const blocks = k / BLOCK;
    write(`${name}.codes`, [n, blocks, BLOCK], DataType.uint8, randomFillSync(new Uint8Array(n * k)));
    const scales = new Float32Array(n * blocks).fill(SCALE);
    write(`${name}.scales`, [n, blocks], DataType.float, new Uint8Array(scales.buffer));
  }
  closeSync(file);
  return tensors;
}

function encodeGraph(products: readonly Product[], initializer: readonly TensorProto[]): Uint8Array {
  return encodeModel({
    irVersion: 10,
    producerName: 'polylora benchmarks',
    opsetImport: [
      { domain: '', version: 21 },
      { domain: 'com.microsoft', version: 1 },
    ],
    graph: {
      name: 'linear layers',
      node: products.flatMap(productNodes),
      initializer,
      input: [
        value('hidden', DataType.float, [{ dimParam: 'rows' }, { dimValue: SHAPE.hiddenSize }]),
        value('intermediate', DataType.float, [{ dimParam: 'rows' }, { dimValue: SHAPE.intermediateSize }]),
        value('sampled', DataType.float, [{ dimParam: 'sampled_rows' }, { dimValue: SHAPE.hiddenSize }]),
      ],
      output: products.map(({ name }) => value(`${name}.shape`, DataType.int64, [{ dimValue: 2 }])),
    },
  });
}

function productNodes({ name, input, k, n }: Product): NodeProto[] {
  return [
    {
      name,
      opType: 'MatMulNBits',
      domain: 'com.microsoft',
      input: [input, `${name}.codes`, `${name}.scales`],
      output: [`${name}.product`],
      attribute: [
        attribute.int('K', k),
        attribute.int('N', n),
        attribute.int('bits', BITS),
        attribute.int('block_size', BLOCK),
        attribute.int('accuracy_level', ACCURACY_LEVEL),
      ],
    },
    {
      name: `${name}.shape`,
      opType: 'Shape',
      domain: '',
      input: [`${name}.product`],
      output: [`${name}.shape`],
      attribute: [],
    },
  ];
}

type Dimensions = ValueInfoProto['type']['tensorType']['shape']['dim'];

function value(name: string, elemType: number, dim: Dimensions): ValueInfoProto {
  return { name, type: { tensorType: { elemType, shape: { dim } } } };
}
