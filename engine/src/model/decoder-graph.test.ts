import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { checkConfig, type DecoderModel } from './decoder.ts';
import { buildDecoderGraph } from './decoder-graph.ts';
import { readGguf } from './gguf-model.ts';
import { readHuggingFace } from './hugging-face.ts';
import { type AttributeProto, decodeModel, type ModelProto, type NodeProto } from './onnx-schema.ts';

const MODELS = fileURLToPath(new URL('../../../test/fixtures/models/', import.meta.url));

function graphOf(model: DecoderModel, weights: 'int8' | 'f32'): ModelProto['graph'] {
  return decodeModel(buildDecoderGraph(model, weights).model).graph;
}

function attributeOf(node: NodeProto | undefined, name: string): AttributeProto {
  const found = node?.attribute.find((attribute) => attribute.name === name);
  if (found === undefined) throw new Error(`no attribute ${name}`);
  return found;
}

const nodesOf = (graph: ModelProto['graph'], opType: string) =>
  graph.node.filter((node) => node.opType === opType);
const placeOf = (tensor: ModelProto['graph']['initializer'][number] | undefined) =>
  Object.fromEntries(tensor?.externalData.map(({ key, value }) => [key, value]) ?? []);

describe('decoder graph', () => {
  it('reads only values that are there, and every weight', async () => {
    for (const weights of ['int8', 'f32'] as const) {
      const graph = graphOf(await readHuggingFace(join(MODELS, 'qwen2')), weights);
      const known = new Set([
        'input_ids',
        'sample_rows',
        'pooled_rows',
        ...graph.initializer.map((tensor) => tensor.name),
      ]);
      const used = new Set<string>();
      for (const node of graph.node) {
        for (const input of node.input.filter((name) => name !== '')) {
          expect(known).toContain(input);
          used.add(input);
        }
        for (const output of node.output) known.add(output);
      }
      expect(graph.initializer.filter((tensor) => !used.has(tensor.name))).toEqual([]);
      expect(known).toContain('tokens');
    }
  });

  it('aligns each tensor to a page, one after the other without overlap', async () => {
    const { model, weightsBytes } = buildDecoderGraph(await readHuggingFace(join(MODELS, 'llama')), 'int8');
    let end = 0;
    for (const tensor of decodeModel(model).graph.initializer) {
      const { location, offset, length } = placeOf(tensor);
      expect(location).toBe('weights.bin');
      expect(Number(offset) % 4096).toBe(0);
      expect(Number(offset)).toBeGreaterThanOrEqual(end);
      end = Number(offset) + Number(length);
    }
    expect(end).toBe(weightsBytes);
  });

  it('fuses projections and says where each lies', async () => {
    const graph = graphOf(await readHuggingFace(join(MODELS, 'qwen2')), 'int8');
    const [qkv, o, gateUp] = nodesOf(graph, 'QuantizedLinear');
    expect(Buffer.from(attributeOf(qkv, 'modules').s ?? []).toString()).toBe('q_proj,k_proj,v_proj');
    expect(attributeOf(qkv, 'widths').ints).toEqual([128, 32, 32]);
    const epilogues = [qkv, o, gateUp].map((node) =>
      Buffer.from(attributeOf(node, 'epilogue').s ?? []).toString(),
    );
    expect(epilogues).toEqual(['store', 'add', 'swiglu']);
    // Input, no residual, codes, scales, norm and, in Qwen2, a bias.
    expect(qkv?.input).toHaveLength(6);
    expect(o?.input).toHaveLength(4);
    const head = nodesOf(graph, 'QuantizedLinear').at(-1);
    expect(head?.attribute.map(({ name }) => name)).not.toContain('layer');
  });

  it('gives attention the norms of queries and keys where the family has them', async () => {
    const [qwen3, llama] = await Promise.all(
      ['qwen3', 'llama'].map(async (name) => graphOf(await readHuggingFace(join(MODELS, name)), 'f32')),
    );
    expect(nodesOf(qwen3!, 'PagedAttention')[0]?.input).toHaveLength(3);
    expect(nodesOf(llama!, 'PagedAttention')[0]?.input).toHaveLength(1);
  });

  it('quantizes in groups of 64 inputs, or of 32 where 64 does not divide', async () => {
    const narrow = graphOf(await readHuggingFace(join(MODELS, 'mistral')), 'int8');
    expect(attributeOf(nodesOf(narrow, 'QuantizedLinear')[0], 'k').i).toBe(96);
    expect(attributeOf(nodesOf(narrow, 'QuantizedLinear')[0], 'group').i).toBe(32);
    const model = await readGguf(join(MODELS, 'gguf/llama-q8_0.gguf'));
    expect(attributeOf(nodesOf(graphOf(model, 'int8'), 'QuantizedLinear')[0], 'group').i).toBe(64);
  });

  it('fills a width that no group divides up with zeros', async () => {
    const model = await readGguf(join(MODELS, 'gguf/llama-f32.gguf'));
    const tensors = new Map(
      [...model.tensors].map(([name, tensor]) => [
        name,
        tensor.cols === 1 ? tensor : { ...tensor, cols: 80 },
      ]),
    );
    const narrow = graphOf({ ...model, tensors }, 'int8');
    const product = nodesOf(narrow, 'QuantizedLinear')[0];
    expect(attributeOf(product, 'k').i).toBe(80);
    expect(attributeOf(product, 'group').i).toBe(32);
    const codes = narrow.initializer.find(({ name }) => name === product?.input[2]);
    expect(codes?.dims.slice(1)).toEqual([3, 8, 16, 4]);
  });

  it('refuses shapes that the kernels cannot take', async () => {
    const { config } = await readGguf(join(MODELS, 'gguf/llama-f32.gguf'));
    expect(() => checkConfig({ ...config, headDim: 15 })).toThrow('(head_dim) is 15; only multiples of 8');
    expect(() => checkConfig({ ...config, layerCount: 0 })).toThrow('layerCount is 0');
    expect(() => checkConfig({ ...config, rmsNormEpsilon: Number.NaN })).toThrow('epsilon is NaN');
    expect(() => checkConfig({ ...config, inverseFrequencies: [] })).toThrow('rotary frequencies');
  });
});
