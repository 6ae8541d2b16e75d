/**
 * Reads a decoder from a Hugging Face model directory: configuration, safetensors (one file or shards),
 * tokenizer and chat template.
 */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { readSafetensorsHeader, SafetensorsError, type SafetensorsTensor } from '@polylora/safetensors';
import { z } from 'zod';
import { EngineError } from '../types.ts';
import {
  checkConfig,
  checkTensors,
  type DecoderConfig,
  type DecoderModel,
  type StoredTensor,
} from './decoder.ts';
import { parseConfig, readEndTokenIds } from './hugging-face-config.ts';
import { readHuggingFaceText, TEXT_FILES } from './hugging-face-text.ts';
import { parseJsonFile, readOptionalJson } from './json-file.ts';

const CONFIG = 'config.json';
const GENERATION_CONFIG = 'generation_config.json';
const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';

const ShardIndex = z.object({
  weight_map: z.record(
    z.string(),
    z.string().regex(/^[\w.-]+\.safetensors$/, 'must be a safetensors file name'),
  ),
});

/**
 * @throws EngineError `model_not_found` for a missing file, `model_not_supported` naming what is not supported,
 * `model_corrupt` where files break their format or contradict each other.
 */
export async function readHuggingFace(directory: string): Promise<DecoderModel> {
  const configFile = join(directory, CONFIG);
  const json = await readOptionalJson(configFile);
  if (json === null) throw new EngineError('model_not_found', `${directory} has no ${CONFIG}.`);
  const config = parseConfig(json, configFile);
  checkConfig(config);
  const tensors = await readTensors(directory, config);
  checkTensors(config, tensors);
  const generation = await readOptionalJson(join(directory, GENERATION_CONFIG));
  const endTokenIds = [...readEndTokenIds(generation, GENERATION_CONFIG), ...readEndTokenIds(json, CONFIG)];
  return { config, tensors, text: await readHuggingFaceText(directory, endTokenIds) };
}

/** The files in a model directory that are read, those that exist, always in the same order. */
export async function huggingFaceFiles(directory: string): Promise<string[]> {
  const files: string[] = [];
  for (const name of [CONFIG, GENERATION_CONFIG, INDEX, ...TEXT_FILES]) {
    const file = join(directory, name);
    if (await exists(file)) files.push(file);
  }
  return [...files, ...(await weightFiles(directory)).map((name) => join(directory, name))];
}

async function weightFiles(directory: string): Promise<string[]> {
  const indexFile = join(directory, INDEX);
  if (await exists(indexFile)) {
    const index = await parseJsonFile(indexFile, ShardIndex);
    return [...new Set(Object.values(index.weight_map))].sort();
  }
  if (await exists(join(directory, SINGLE))) return [SINGLE];
  throw new EngineError(
    'model_not_found',
    `${directory} has neither ${SINGLE} nor ${INDEX}. Only safetensors weights are read.`,
  );
}

async function readTensors(directory: string, config: DecoderConfig): Promise<Map<string, StoredTensor>> {
  const tensors = new Map<string, StoredTensor>();
  for (const name of await weightFiles(directory)) {
    const file = join(directory, name);
    const header = await readSafetensorsHeader(file).catch((error: unknown) => {
      if (!(error instanceof SafetensorsError)) throw error;
      throw new EngineError('model_corrupt', error.message, { cause: error });
    });
    for (const tensor of header.tensors.values()) {
      if (isLeftOut(tensor.name, config)) continue;
      if (tensors.has(tensor.name)) {
        throw new EngineError('model_corrupt', `Tensor ${tensor.name} is in two files of ${directory}.`);
      }
      tensors.set(tensor.name, locate(file, tensor));
    }
  }
  return tensors;
}

/** Computed from the configuration (rotary frequencies), or a copy (the head of a model with tied embeddings). */
function isLeftOut(name: string, config: DecoderConfig): boolean {
  return name.endsWith('.rotary_emb.inv_freq') || (config.tiedEmbeddings && name === 'lm_head.weight');
}

function locate(file: string, { name, dtype, shape, begin }: SafetensorsTensor): StoredTensor {
  if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16') {
    throw new EngineError(
      'model_not_supported',
      `Tensor ${name} is stored as ${dtype}; F32, F16 and BF16 are read.`,
    );
  }
  const [rows, cols = 1, ...rest] = shape;
  if (rows === undefined || rest.length > 0) {
    throw new EngineError('model_corrupt', `Tensor ${name} has ${shape.length} dimensions.`);
  }
  return { name, file, offset: begin, type: dtype, rows, cols };
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
