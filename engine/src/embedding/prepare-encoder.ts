/** Turns an embedding model's files into an ONNX graph, once per content and kept under `home`. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileDurable } from '../model/atomic-file.ts';
import { fileDigest } from '../model/file-digest.ts';
import { manifestFields, preparedOnce } from '../model/prepared-directory.ts';
import { WEIGHTS_FILE } from '../model/weights-file.ts';
import { writeWeightsFile } from '../model/write-weights-file.ts';
import type { ModelInfo } from '../types.ts';
import { buildEncoderGraph } from './encoder-graph.ts';
import { type FetchEncoderOptions, fetchEncoder, type LocalEncoder } from './fetch-encoder.ts';
import { encoderFiles, readEncoder } from './read-encoder.ts';

/** Of the graph, its weights and the manifest: anything kept under another number is made anew. */
const LAYOUT_VERSION = 3;

const GRAPH_FILE = 'model.onnx';
const TOKENIZER_FILE = 'tokenizer.json';

const Manifest = z.object({
  width: z.int(),
  maxTokens: z.int(),
  vocabSize: z.int(),
  pooling: z.enum(['mean', 'cls']),
  ...manifestFields,
});
type Manifest = z.infer<typeof Manifest>;

export interface PrepareEncoderOptions extends FetchEncoderOptions {
  readonly weights: ModelInfo['weights'];
}

export interface PreparedEncoder extends Omit<Manifest, 'files'> {
  readonly name: string;
  /** Of what it computes: equal digests give equal vectors. */
  readonly digest: string;
  readonly graphFile: string;
  readonly tokenizerFile: string;
}

/**
 * Gets an embedding model and prepares it, or finds it prepared. Safe when several processes do so at once.
 * @throws EngineError `model_not_found`, `model_not_supported` or `model_corrupt`, saying what to do
 */
export async function prepareEncoder(options: PrepareEncoderOptions): Promise<PreparedEncoder> {
  const local = await fetchEncoder(options);
  const digest = await digestOf(local.directory, options);
  const directory = join(options.home, 'prepared', digest);
  const manifest = await preparedOnce(directory, Manifest, (temporary) =>
    writePrepared(local, temporary, options),
  );
  const { files: _, ...described } = manifest;
  return {
    ...described,
    name: local.name,
    digest,
    graphFile: join(directory, GRAPH_FILE),
    tokenizerFile: join(directory, TOKENIZER_FILE),
  };
}

async function digestOf(source: string, options: PrepareEncoderOptions): Promise<string> {
  const hash = createHash('sha256').update(`polylora encoder ${LAYOUT_VERSION} ${options.weights}\n`);
  for (const name of await encoderFiles(source)) {
    const sha256 = await fileDigest(join(source, name), options.home, options.onProgress);
    hash.update(`${sha256} ${name}\n`);
  }
  return hash.digest('hex');
}

async function writePrepared(
  local: LocalEncoder,
  directory: string,
  { weights, onProgress }: PrepareEncoderOptions,
): Promise<Manifest> {
  const encoder = await readEncoder(local.directory);
  const graph = buildEncoderGraph(encoder, weights);
  await writeWeightsFile(join(directory, WEIGHTS_FILE), graph, local.name, onProgress);
  await writeFileDurable(join(directory, GRAPH_FILE), graph.model);
  await writeFileDurable(join(directory, TOKENIZER_FILE), encoder.tokenizerJson);
  const { hiddenSize: width, maxTokens, vocabSize, pooling } = encoder.config;
  const files = {
    [WEIGHTS_FILE]: graph.weightsBytes,
    [GRAPH_FILE]: graph.model.byteLength,
    [TOKENIZER_FILE]: Buffer.byteLength(encoder.tokenizerJson),
  };
  return { width, maxTokens, vocabSize, pooling, files };
}
