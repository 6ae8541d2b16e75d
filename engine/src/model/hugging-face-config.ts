/** What a Hugging Face `config.json` says of a decoder, for the families that are supported. */
import { z } from 'zod';
import { EngineError } from '../types.ts';
import type { DecoderConfig } from './decoder.ts';
import { parseJson } from './json-file.ts';
import { inverseFrequencies, type RotaryScaling } from './rotary.ts';

const FAMILIES = ['llama', 'mistral', 'qwen2', 'qwen3'] as const;

const Rotary = z.object({
  rope_theta: z.number().optional(),
  rope_type: z.string().optional(),
  type: z.string().optional(),
  factor: z.number().optional(),
  low_freq_factor: z.number().optional(),
  high_freq_factor: z.number().optional(),
  original_max_position_embeddings: z.number().optional(),
  partial_rotary_factor: z.number().optional(),
});

const Config = z.object({
  model_type: z.string(),
  hidden_act: z.string().default('silu'),
  num_hidden_layers: z.int(),
  hidden_size: z.int(),
  intermediate_size: z.int(),
  num_attention_heads: z.int(),
  num_key_value_heads: z.int().nullish(),
  head_dim: z.int().nullish(),
  vocab_size: z.int(),
  max_position_embeddings: z.int(),
  rms_norm_eps: z.number().default(1e-6),
  rope_theta: z.number().optional(),
  /** Before transformers 5. */
  rope_scaling: Rotary.nullish(),
  /** Since transformers 5, with the base in it. */
  rope_parameters: Rotary.nullish(),
  partial_rotary_factor: z.number().optional(),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  sliding_window: z.int().nullish(),
  use_sliding_window: z.boolean().optional(),
  layer_types: z.array(z.string()).nullish(),
  quantization_config: z.unknown().optional(),
});
type Config = z.infer<typeof Config>;

const EndTokens = z.object({ eos_token_id: z.union([z.int(), z.array(z.int())]).nullish() });

/**
 * @param file named in errors
 * @throws EngineError `model_not_supported` naming the field, `model_corrupt` listing every malformed field.
 */
export function parseConfig(json: unknown, file: string): DecoderConfig {
  const config = parseJson(json, file, Config);
  const architecture = FAMILIES.find((family) => family === config.model_type);
  if (architecture === undefined) {
    refuse(file, `model_type is ${config.model_type}; ${FAMILIES.join(', ')} are supported`);
  }
  refuseUnsupported(config, file);
  const headCount = config.num_attention_heads;
  const headDim = config.head_dim ?? (architecture === 'qwen3' ? 128 : config.hidden_size / headCount);
  const { base, scaling } = parseRotary(config, file);
  return {
    architecture,
    layerCount: config.num_hidden_layers,
    hiddenSize: config.hidden_size,
    intermediateSize: config.intermediate_size,
    headCount,
    kvHeadCount: config.num_key_value_heads ?? headCount,
    headDim,
    vocabSize: config.vocab_size,
    contextLength: Math.min(config.max_position_embeddings, slidingWindow(config, architecture)),
    rmsNormEpsilon: config.rms_norm_eps,
    inverseFrequencies: inverseFrequencies(headDim, base, scaling),
    tiedEmbeddings: config.tie_word_embeddings,
    attentionBias: config.attention_bias ? 'qkvo' : architecture === 'qwen2' ? 'qkv' : 'none',
    mlpBias: config.mlp_bias,
    queryKeyNorm: architecture === 'qwen3',
  };
}

/** `eos_token_id` of a `config.json` or `generation_config.json`; empty where there is none. */
export function readEndTokenIds(json: unknown, file: string): number[] {
  if (json === null) return [];
  const { eos_token_id: ids } = parseJson(json, file, EndTokens);
  return ids === undefined || ids === null ? [] : [ids].flat();
}

function refuseUnsupported(config: Config, file: string): void {
  if (config.hidden_act !== 'silu') refuse(file, `hidden_act is ${config.hidden_act}; silu is supported`);
  if (config.quantization_config !== undefined && config.quantization_config !== null) {
    refuse(file, 'quantization_config is set; weights must be F32, F16 or BF16');
  }
  const rotated = config.rope_parameters?.partial_rotary_factor ?? config.partial_rotary_factor ?? 1;
  if (rotated !== 1) refuse(file, `partial_rotary_factor is ${rotated}; 1 is supported`);
  const attention = config.layer_types?.find(
    (type) => type !== 'full_attention' && type !== 'sliding_attention',
  );
  if (attention !== undefined) refuse(file, `layer_types has ${attention}`);
}

/**
 * Within the window, sliding attention is full attention; so a model with a window is served up to its length,
 * exactly, rather than refused.
 */
function slidingWindow(config: Config, architecture: DecoderConfig['architecture']): number {
  const isUsed =
    architecture === 'mistral' ||
    config.use_sliding_window === true ||
    config.layer_types?.includes('sliding_attention') === true;
  return isUsed ? (config.sliding_window ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
}

function parseRotary(config: Config, file: string): { base: number; scaling: RotaryScaling } {
  const rotary = config.rope_parameters ?? config.rope_scaling ?? {};
  const base = rotary.rope_theta ?? config.rope_theta ?? 10_000;
  const type = rotary.rope_type ?? rotary.type ?? 'default';
  const field = (
    name: 'factor' | 'low_freq_factor' | 'high_freq_factor' | 'original_max_position_embeddings',
  ) => {
    const value = rotary[name];
    if (value === undefined)
      throw new EngineError('model_corrupt', `${file}: rope type ${type} needs ${name}.`);
    return value;
  };
  switch (type) {
    case 'default':
      return { base, scaling: { type } };
    case 'linear':
      return { base, scaling: { type, factor: field('factor') } };
    case 'llama3':
      return {
        base,
        scaling: {
          type,
          factor: field('factor'),
          lowFrequencyFactor: field('low_freq_factor'),
          highFrequencyFactor: field('high_freq_factor'),
          originalContextLength: field('original_max_position_embeddings'),
        },
      };
    default:
      return refuse(file, `the rope type is ${type}; default, linear and llama3 are supported`);
  }
}

function refuse(file: string, reason: string): never {
  throw new EngineError('model_not_supported', `${file}: ${reason}.`);
}
