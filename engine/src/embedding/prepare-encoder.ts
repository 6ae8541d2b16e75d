/** Turns an embedding model's files into an ONNX graph, once per content and kept under `home`. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileDurable } from '../model/atomic-file.ts';
import { fileDigest } from '../model/file-digest.ts';
import { withFileLock } from '../model/file-lock.ts';
import { areWhole, removeLeftovers } from '../model/prepared-directory.ts';
import type { EncoderModel } from './encoder.ts';
import { buildEncoderGraph, type EncoderWeights } from './encoder-graph.ts';
import { type FetchEncoderOptions, fetchEncoder } from './fetch-encoder.ts';
import { encoderFiles, readEncoder } from './read-encoder.ts';
import { tensorValues } from './tensor-values.ts';

/** Of the graph, its weights and the manifest: anything kept under another number is made anew. */
const LAYOUT_VERSION = 1;

const GRAPH_FILE = 'model.onnx';
const WEIGHTS_FILE = 'weights.bin';
const TOKENIZER_FILE = 'tokenizer.json';
const MANIFEST_FILE = 'manifest.json';

const Manifest = z.object({
  width: z.int(),
  maxTokens: z.int(),
  vocabSize: z.int(),
  pooling: z.enum(['mean', 'cls']),
  /** Bytes of each file, to notice one that was cut short. */
  files: z.record(z.string(), z.int()),
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
  let manifest = await readManifest(directory);
  manifest ??= await withFileLock(`${directory}.lock`, async () => {
    const byAnother = await readManifest(directory);
    return byAnother ?? (await build(local.directory, directory, options.weights));
  });
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

async function readManifest(directory: string): Promise<Manifest | null> {
  try {
    const manifest = Manifest.parse(JSON.parse(await readFile(join(directory, MANIFEST_FILE), 'utf8')));
    return (await areWhole(directory, manifest.files)) ? manifest : null;
  } catch {
    return null;
  }
}

async function build(source: string, directory: string, weights: EncoderWeights): Promise<Manifest> {
  const encoder = await readEncoder(source);
  const values = await readTensors(encoder);
  const graph = buildEncoderGraph(encoder.config, (name) => values.get(name)!, weights, WEIGHTS_FILE);
  await removeLeftovers(directory);
  const temporary = `${directory}.${randomUUID()}.tmp`;
  await mkdir(temporary, { recursive: true });
  const tokenizer = Buffer.from(encoder.tokenizerJson);
  const contents = {
    [WEIGHTS_FILE]: graph.weights,
    [GRAPH_FILE]: graph.model,
    [TOKENIZER_FILE]: tokenizer,
  };
  const { hiddenSize: width, maxTokens, vocabSize, pooling } = encoder.config;
  const files = Object.fromEntries(Object.entries(contents).map(([name, { length }]) => [name, length]));
  const manifest = { width, maxTokens, vocabSize, pooling, files };
  try {
    for (const [name, content] of Object.entries(contents)) {
      await writeFileDurable(join(temporary, name), content);
    }
    await writeFileDurable(join(temporary, MANIFEST_FILE), JSON.stringify(manifest, null, 2));
    await rename(temporary, directory);
    return manifest;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
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
