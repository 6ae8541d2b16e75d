/** Turns an embedding model's files into an ONNX graph, once per content and kept under `home`. */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileDurable } from '../model/atomic-file.ts';
import { fileDigest } from '../model/file-digest.ts';
import { manifestFields, preparedOnce } from '../model/prepared-directory.ts';
import type { EncoderModel } from './encoder.ts';
import { buildEncoderGraph, type EncoderWeights } from './encoder-graph.ts';
import { type FetchEncoderOptions, fetchEncoder } from './fetch-encoder.ts';
import { encoderFiles, readEncoder } from './read-encoder.ts';
import { tensorValues } from './tensor-values.ts';

/** Of the graph, its weights and the manifest: anything kept under another number is made anew. */
const LAYOUT_VERSION = 2;

const GRAPH_FILE = 'model.onnx';
const WEIGHTS_FILE = 'weights.bin';
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
  readonly weights: EncoderWeights;
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
    writePrepared(local.directory, temporary, options.weights),
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

async function writePrepared(source: string, directory: string, weights: EncoderWeights): Promise<Manifest> {
  const encoder = await readEncoder(source);
  const values = await readTensors(encoder);
  const graph = buildEncoderGraph(encoder.config, (name) => values.get(name)!, weights, WEIGHTS_FILE);
  const contents = {
    [WEIGHTS_FILE]: graph.weights,
    [GRAPH_FILE]: graph.model,
    [TOKENIZER_FILE]: Buffer.from(encoder.tokenizerJson),
  };
  for (const [name, content] of Object.entries(contents)) {
    await writeFileDurable(join(directory, name), content);
  }
  const { hiddenSize: width, maxTokens, vocabSize, pooling } = encoder.config;
  const files = Object.fromEntries(Object.entries(contents).map(([name, { length }]) => [name, length]));
  return { width, maxTokens, vocabSize, pooling, files };
}

async function readTensors({ tensors }: EncoderModel): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for (const [name, tensor] of tensors) {
    const handle = await open(tensor.file, 'r');
    try {
      values.set(name, await tensorValues(handle, tensor));
    } finally {
      await handle.close();
    }
  }
  return values;
}
