/**
 * Turns a model's files into what the engine loads: an ONNX graph, packed weights and a tokenizer. Done once
 * per content and kept under `home`; later starts only look it up.
 */
import { createHash } from 'node:crypto';
import { basename, join } from 'node:path';
import { EngineError, type ModelInfo } from '../types.ts';
import { writeFileDurable } from './atomic-file.ts';
import type { DecoderModel } from './decoder.ts';
import { buildDecoderGraph } from './decoder-graph.ts';
import { type FetchOptions, fetchModel, type LocalModel } from './fetch-model.ts';
import { fileDigest } from './file-digest.ts';
import { huggingFaceFiles } from './hugging-face.ts';
import { Manifest } from './manifest.ts';
import { preparedOnce } from './prepared-directory.ts';
import type { OnProgress } from './progress.ts';
import { readModel } from './read-model.ts';
import { WEIGHTS_FILE } from './weights-file.ts';
import { writeWeightsFile } from './write-weights-file.ts';

/** Of the graph, the packed weights and the manifest: anything kept under another number is made anew. */
const LAYOUT_VERSION = 7;

const GRAPH_FILE = 'model.onnx';
const TOKENIZER_FILE = 'tokenizer.json';

export interface PrepareOptions extends FetchOptions {
  readonly weights: ModelInfo['weights'];
  /** At most the model's own context length, which it defaults to. */
  readonly maxModelLen?: number;
}

export interface PreparedModel {
  readonly directory: string;
  readonly graphFile: string;
  readonly tokenizerFile: string;
  readonly info: ModelInfo;
  readonly chatTemplate: string | null;
  readonly bosToken: string | null;
  readonly eosToken: string | null;
  readonly eosTokenIds: readonly number[];
}

/**
 * Gets a model and prepares it, or finds it prepared. Safe when several processes do so at once.
 *
 * @throws EngineError `model_not_found`, `model_not_supported` or `model_corrupt`, saying what to do.
 */
export async function prepareModel(options: PrepareOptions): Promise<PreparedModel> {
  const { home, weights, onProgress } = options;
  const local = await fetchModel(options);
  const sourceDigest = await digestOf(local, options);
  const digest = preparedDigest(sourceDigest, weights);
  const directory = join(home, 'prepared', digest);
  const manifest = await preparedOnce(directory, Manifest, (temporary) =>
    writePrepared(local, weights, temporary, onProgress),
  );
  const info = modelInfo(local.name, { digest, sourceDigest }, manifest, options.maxModelLen);
  const { chatTemplate, bosToken, eosToken, eosTokenIds } = manifest;
  return {
    directory,
    graphFile: join(directory, GRAPH_FILE),
    tokenizerFile: join(directory, TOKENIZER_FILE),
    info,
    chatTemplate,
    bosToken,
    eosToken,
    eosTokenIds,
  };
}

/** Identifies what the engine computes: the files' content and how it is packed. */
function preparedDigest(sourceDigest: string, weights: ModelInfo['weights']): string {
  return createHash('sha256').update(`polylora ${LAYOUT_VERSION} ${weights} ${sourceDigest}\n`).digest('hex');
}

/** Identifies the files' content. */
async function digestOf(local: LocalModel, { home, onProgress }: PrepareOptions): Promise<string> {
  const hash = createHash('sha256').update(`polylora model ${local.kind}\n`);
  const files = local.kind === 'gguf' ? [local.file] : await huggingFaceFiles(local.directory);
  for (const file of files) {
    const name = local.kind === 'gguf' ? '' : basename(file);
    hash.update(`${await fileDigest(file, home, onProgress)} ${name}\n`);
  }
  return hash.digest('hex');
}

function modelInfo(
  name: string,
  digests: Pick<ModelInfo, 'digest' | 'sourceDigest'>,
  manifest: Manifest,
  maxModelLen?: number,
): ModelInfo {
  const { contextLength, ...shape } = manifest.model;
  if (maxModelLen !== undefined && maxModelLen > contextLength) {
    throw new EngineError(
      'model_not_supported',
      `A maximum model length of ${maxModelLen} exceeds the context length of ${name}, ${contextLength} tokens.`,
    );
  }
  return { name, ...digests, ...shape, maxModelLen: maxModelLen ?? contextLength };
}

async function writePrepared(
  local: LocalModel,
  weights: ModelInfo['weights'],
  directory: string,
  onProgress?: OnProgress,
): Promise<Manifest> {
  const model = await readModel(local);
  const graph = buildDecoderGraph(model, weights);
  await writeWeightsFile(join(directory, WEIGHTS_FILE), graph, local.name, onProgress);
  await writeFileDurable(join(directory, GRAPH_FILE), graph.model);
  await writeFileDurable(join(directory, TOKENIZER_FILE), model.text.tokenizerJson);
  return describe(model, weights, {
    [WEIGHTS_FILE]: graph.weightsBytes,
    [GRAPH_FILE]: graph.model.byteLength,
    [TOKENIZER_FILE]: Buffer.byteLength(model.text.tokenizerJson),
  });
}

function describe(
  model: DecoderModel,
  weights: ModelInfo['weights'],
  files: Record<string, number>,
): Manifest {
  const { config, text } = model;
  return {
    model: {
      architecture: config.architecture,
      weights,
      layerCount: config.layerCount,
      hiddenSize: config.hiddenSize,
      intermediateSize: config.intermediateSize,
      headCount: config.headCount,
      kvHeadCount: config.kvHeadCount,
      headDim: config.headDim,
      vocabSize: config.vocabSize,
      contextLength: config.contextLength,
    },
    chatTemplate: text.chatTemplate,
    bosToken: text.bosToken,
    eosToken: text.eosToken,
    eosTokenIds: [...text.eosTokenIds],
    files,
  };
}
