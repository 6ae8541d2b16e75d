/** Reads an encoder from a directory as sentence-transformers and the Hugging Face hub lay it out. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readSafetensorsHeader, SafetensorsError } from '@polylora/safetensors';
import { z } from 'zod';
import type { StoredTensor } from '../model/decoder.ts';
import { parseJson, parseJsonFile, readOptionalJson, readOptionalText } from '../model/json-file.ts';
import { EngineError } from '../types.ts';
import { checkEncoder, type EncoderConfig, type EncoderModel, type Pooling } from './encoder.ts';

const CONFIG = 'config.json';
const WEIGHTS = 'model.safetensors';
const TOKENIZER = 'tokenizer.json';
const SENTENCE_CONFIG = 'sentence_bert_config.json';
const POOLING = /^\d+_Pooling$/;

const size = z
  .int()
  .min(1)
  .max(2 ** 24);

const BertConfig = z.object({
  model_type: z.string(),
  hidden_act: z.string().default('gelu'),
  position_embedding_type: z.string().nullish(),
  hidden_size: size,
  intermediate_size: size,
  num_attention_heads: size,
  num_hidden_layers: z.int().min(1).max(1000),
  vocab_size: size,
  max_position_embeddings: size,
  layer_norm_eps: z.number().positive().max(1),
});

const SentenceConfig = z.object({ max_seq_length: size.nullish() });

const PoolingConfig = z.object({
  pooling_mode_cls_token: z.boolean().default(false),
  pooling_mode_mean_tokens: z.boolean().default(false),
});

/**
 * @throws EngineError `model_not_found` for a missing file, `model_not_supported` naming what is not supported,
 * `model_corrupt` where files break their format or contradict each other.
 */
export async function readEncoder(directory: string): Promise<EncoderModel> {
  const config = await readConfig(directory);
  const tensors = await readTensors(join(directory, WEIGHTS));
  const tokenizerJson = await readOptionalText(join(directory, TOKENIZER));
  if (tokenizerJson === null) throw new EngineError('model_not_found', `${directory} has no ${TOKENIZER}.`);
  checkEncoder({ config, tensors });
  return { config, tensors, tokenizerJson };
}

/** The files of a directory that decide what its vectors are, always in the same order. */
export async function encoderFiles(directory: string): Promise<string[]> {
  const pooling = await poolingDirectory(directory);
  const optional = [SENTENCE_CONFIG, ...(pooling === null ? [] : [join(pooling, CONFIG)])];
  const there = await Promise.all(
    optional.map(async (name) => ((await readOptionalText(join(directory, name))) === null ? [] : [name])),
  );
  return [CONFIG, WEIGHTS, TOKENIZER, ...there.flat()];
}

async function readConfig(directory: string): Promise<EncoderConfig> {
  const file = join(directory, CONFIG);
  const json = await readOptionalJson(file);
  if (json === null) throw new EngineError('model_not_found', `${directory} has no ${CONFIG}.`);
  const { model_type: type } = parseJson(json, file, z.object({ model_type: z.string() }));
  if (type !== 'bert') {
    throw new EngineError('model_not_supported', `${file}: model_type ${type} is not supported, only bert.`);
  }
  const bert = parseJson(json, file, BertConfig);
  const only = { hidden_act: 'gelu', position_embedding_type: 'absolute' } as const;
  for (const [key, supported] of Object.entries(only) as [keyof typeof only, string][]) {
    const value = bert[key] ?? supported;
    if (value === supported) continue;
    throw new EngineError(
      'model_not_supported',
      `${file}: ${key} ${value} is not supported, only ${supported}.`,
    );
  }
  const sentenceFile = join(directory, SENTENCE_CONFIG);
  const sentence = parseJson((await readOptionalJson(sentenceFile)) ?? {}, sentenceFile, SentenceConfig);
  return {
    layerCount: bert.num_hidden_layers,
    hiddenSize: bert.hidden_size,
    intermediateSize: bert.intermediate_size,
    headCount: bert.num_attention_heads,
    vocabSize: bert.vocab_size,
    maxTokens: Math.min(
      sentence.max_seq_length ?? bert.max_position_embeddings,
      bert.max_position_embeddings,
    ),
    layerNormEpsilon: bert.layer_norm_eps,
    pooling: await readPooling(directory),
  };
}

/** As sentence-transformers does, a model that does not say is pooled by the mean. */
async function readPooling(directory: string): Promise<Pooling> {
  const pooling = await poolingDirectory(directory);
  if (pooling === null) return 'mean';
  const file = join(directory, pooling, CONFIG);
  const modes = await parseJsonFile(file, PoolingConfig);
  if (modes.pooling_mode_cls_token === modes.pooling_mode_mean_tokens) {
    throw new EngineError('model_not_supported', `${file}: only the mean or the first token can be pooled.`);
  }
  return modes.pooling_mode_cls_token ? 'cls' : 'mean';
}

async function poolingDirectory(directory: string): Promise<string | null> {
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    throw new EngineError('model_not_found', `${directory} cannot be read (${error.code}).`, {
      cause: error,
    });
  });
  return names.find((name) => POOLING.test(name)) ?? null;
}

async function readTensors(file: string): Promise<Map<string, StoredTensor>> {
  const header = await readSafetensorsHeader(file).catch((error: unknown) => {
    if (!(error instanceof SafetensorsError)) throw error;
    throw new EngineError('model_corrupt', error.message, { cause: error });
  });
  const tensors = new Map<string, StoredTensor>();
  for (const { name, dtype, shape, begin } of header.tensors.values()) {
    // Indices of positions, which older versions of transformers stored.
    if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16') continue;
    const [rows, cols = 1, ...rest] = shape;
    if (rows === undefined || rest.length > 0) continue;
    const plain = name.replace(/^bert\./, '');
    tensors.set(plain, { name, file, offset: begin, type: dtype, rows, cols });
  }
  return tensors;
}
