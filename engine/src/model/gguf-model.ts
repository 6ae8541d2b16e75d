/**
 * Reads a decoder from a GGUF file: llama.cpp's names, row order and tokenizer into Hugging Face's.
 */
import { open } from 'node:fs/promises';
import { EngineError } from '../types.ts';
import {
  checkConfig,
  checkTensors,
  type DecoderConfig,
  type DecoderModel,
  type StoredTensor,
} from './decoder.ts';
import { type GgufHeader, type GgufTensor, readGgufHeader } from './gguf.ts';
import { GgufMetadata } from './gguf-metadata.ts';
import { readGgufText } from './gguf-tokenizer.ts';
import { inverseFrequencies, type RotaryScaling } from './rotary.ts';

/** GGUF tensor names within `blk.N.` and what Hugging Face calls them within `model.layers.N.`. */
const LAYER_NAMES = new Map<string, string>([
  ['attn_norm', 'input_layernorm'],
  ['attn_q', 'self_attn.q_proj'],
  ['attn_k', 'self_attn.k_proj'],
  ['attn_v', 'self_attn.v_proj'],
  ['attn_output', 'self_attn.o_proj'],
  ['attn_q_norm', 'self_attn.q_norm'],
  ['attn_k_norm', 'self_attn.k_norm'],
  ['ffn_norm', 'post_attention_layernorm'],
  ['ffn_gate', 'mlp.gate_proj'],
  ['ffn_up', 'mlp.up_proj'],
  ['ffn_down', 'mlp.down_proj'],
]);

const OUTER_NAMES = new Map<string, string>([
  ['token_embd.weight', 'model.embed_tokens.weight'],
  ['output_norm.weight', 'model.norm.weight'],
  ['output.weight', 'lm_head.weight'],
]);

/** Llama 3's rotary scaling, as factors that divide the frequencies. */
const ROTARY_FACTORS = 'rope_freqs.weight';

/**
 * @throws EngineError `model_not_supported` naming what is not supported, `model_corrupt` where the file breaks
 * its format or its tensors do not fit its metadata.
 */
export async function readGguf(file: string): Promise<DecoderModel> {
  const header = await readGgufHeader(file);
  const config = await readConfig(file, header);
  checkConfig(config);
  const tensors = new Map<string, StoredTensor>();
  for (const tensor of header.tensors) {
    if (tensor.name === ROTARY_FACTORS) continue;
    const stored = locate(file, tensor, config);
    tensors.set(stored.name, stored);
  }
  checkTensors(config, tensors);
  return { config, tensors, text: readGgufText(new GgufMetadata(header.metadata)) };
}

async function readConfig(file: string, header: GgufHeader): Promise<DecoderConfig> {
  const metadata = new GgufMetadata(header.metadata);
  const architecture = readArchitecture(metadata);
  const key = (name: string) => `${architecture}.${name}`;
  refuseUnsupported(metadata, key);

  const hiddenSize = metadata.number(key('embedding_length'));
  const headCount = metadata.uniform(key('attention.head_count'));
  const headDim = metadata.number(key('attention.key_length'), hiddenSize / headCount);
  for (const name of ['attention.value_length', 'rope.dimension_count']) {
    const width = metadata.number(key(name), headDim);
    if (width !== headDim) {
      throw new EngineError(
        'model_not_supported',
        `${key(name)} is ${width}; only the head width, ${headDim}, is supported.`,
      );
    }
  }
  const names = new Set(header.tensors.map((tensor) => tensor.name));
  const embedding = header.tensors.find((tensor) => tensor.name === 'token_embd.weight');
  const context = metadata.number(key('context_length'));
  const qkvBias = names.has('blk.0.attn_q.bias');
  return {
    architecture,
    layerCount: metadata.number(key('block_count')),
    hiddenSize,
    intermediateSize: metadata.uniform(key('feed_forward_length')),
    headCount,
    kvHeadCount: metadata.uniform(key('attention.head_count_kv'), headCount),
    headDim,
    vocabSize: embedding?.dimensions[1] ?? metadata.strings('tokenizer.ggml.tokens').length,
    // Within the window, sliding attention is full attention.
    contextLength: Math.min(context, metadata.number(key('attention.sliding_window'), context) || context),
    rmsNormEpsilon: metadata.number(key('attention.layer_norm_rms_epsilon')),
    inverseFrequencies: await rotaryFrequencies(file, header, metadata, key, headDim),
    tiedEmbeddings: !names.has('output.weight'),
    attentionBias: names.has('blk.0.attn_output.bias') ? 'qkvo' : qkvBias ? 'qkv' : 'none',
    mlpBias: names.has('blk.0.ffn_down.bias'),
    queryKeyNorm: architecture === 'qwen3',
  };
}

function readArchitecture(metadata: GgufMetadata): 'llama' | 'qwen2' | 'qwen3' {
  const architecture = metadata.string('general.architecture');
  switch (architecture) {
    // llama.cpp writes Mistral as llama too.
    case 'llama':
    case 'qwen2':
    case 'qwen3':
      return architecture;
    default:
      throw new EngineError(
        'model_not_supported',
        `The architecture ${architecture} is not supported; llama, qwen2 and qwen3 are.`,
      );
  }
}

function refuseUnsupported(metadata: GgufMetadata, key: (name: string) => string): void {
  for (const [name, most] of [
    [key('expert_count'), 0],
    ['split.count', 1],
  ] as const) {
    const value = metadata.number(name, 0);
    if (value > most)
      throw new EngineError('model_not_supported', `${name} is ${value}, which is not supported.`);
  }
  const scale = metadata.number(key('attention.scale'), 0);
  if (scale !== 0)
    throw new EngineError('model_not_supported', `${key('attention.scale')} is not supported.`);
}

async function rotaryFrequencies(
  file: string,
  header: GgufHeader,
  metadata: GgufMetadata,
  key: (name: string) => string,
  headDim: number,
): Promise<number[]> {
  const base = metadata.number(key('rope.freq_base'), 10_000);
  const type = metadata.string(key('rope.scaling.type'), 'none');
  if (type !== 'none' && type !== 'linear') {
    throw new EngineError('model_not_supported', `The rotary scaling ${type} is not supported.`);
  }
  const factor = metadata.number(key('rope.scaling.factor'), 1);
  const scaling: RotaryScaling = type === 'linear' ? { type, factor } : { type: 'default' };
  const frequencies = inverseFrequencies(headDim, base, scaling);
  const factors = header.tensors.find((tensor) => tensor.name === ROTARY_FACTORS);
  if (factors === undefined) return frequencies;
  const divisors = await readFloats(file, factors);
  return frequencies.map((frequency, i) => frequency / (divisors[i] ?? Number.NaN));
}

async function readFloats(file: string, tensor: GgufTensor): Promise<Float32Array> {
  const length = tensor.dimensions[0]!;
  if (tensor.type !== 'F32' || tensor.dimensions.length !== 1) {
    throw new EngineError('model_corrupt', `Tensor ${tensor.name} is no vector of F32.`);
  }
  const handle = await open(file, 'r');
  try {
    const bytes = Buffer.alloc(length * 4);
    await handle.read(bytes, 0, bytes.length, tensor.offset);
    return Float32Array.from({ length }, (_, i) => bytes.readFloatLE(i * 4));
  } finally {
    await handle.close();
  }
}

function locate(file: string, tensor: GgufTensor, config: DecoderConfig): StoredTensor {
  const name = huggingFaceName(tensor.name);
  const [inner, outer = 1, ...rest] = tensor.dimensions;
  if (rest.length > 0)
    throw new EngineError('model_corrupt', `Tensor ${tensor.name} has more than two dimensions.`);
  const isVector = tensor.dimensions.length === 1;
  const [rows, cols] = isVector ? [inner!, 1] : [outer, inner!];
  const heads = config.architecture === 'llama' ? interleavedHeads(name, config) : undefined;
  const located = { name, file, offset: tensor.offset, type: tensor.type, rows, cols };
  return heads === undefined ? located : { ...located, interleavedHeads: heads };
}

/** llama.cpp's conversion reorders the query and key rows of the llama architecture (not of qwen2 and qwen3). */
function interleavedHeads(name: string, config: DecoderConfig): number | undefined {
  if (name.includes('.q_proj.')) return config.headCount;
  if (name.includes('.k_proj.')) return config.kvHeadCount;
  return undefined;
}

function huggingFaceName(name: string): string {
  const outer = OUTER_NAMES.get(name);
  if (outer !== undefined) return outer;
  const [, layer, part, kind] = /^blk\.(\d{1,6})\.(\w+)\.(weight|bias)$/.exec(name) ?? [];
  const renamed = LAYER_NAMES.get(part ?? '');
  // Unknown names stay as they are: checkTensors refuses them by name.
  return renamed === undefined ? name : `model.layers.${layer}.${renamed}.${kind}`;
}
