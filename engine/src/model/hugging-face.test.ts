import { cp, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readHuggingFace } from './hugging-face.ts';
import { parseConfig } from './hugging-face-config.ts';

const MODELS = fileURLToPath(new URL('../../../test/fixtures/models/', import.meta.url));

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'polylora-hf-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** A copy of a tiny model, with fields of one of its JSON files changed. */
async function copyOf(
  model: string,
  file = 'config.json',
  changes: Record<string, unknown> = {},
): Promise<string> {
  const copy = join(directory, model);
  await cp(join(MODELS, model), copy, { recursive: true });
  const path = join(copy, file);
  const json = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  await writeFile(path, JSON.stringify({ ...json, ...changes }));
  return copy;
}

describe('Hugging Face directory', () => {
  it('gathers shards, end tokens from every file, and the template', async () => {
    const { config, tensors, text } = await readHuggingFace(join(MODELS, 'llama'));
    expect(config).toMatchObject({ architecture: 'llama', attentionBias: 'none', tiedEmbeddings: false });
    expect(new Set([...tensors.values()].map((tensor) => tensor.file)).size).toBe(2);
    expect(text.eosTokenIds.length).toBeGreaterThan(1);
    expect(text.chatTemplate).toContain('messages');
  });

  it.each([
    [{ model_type: 'gemma3' }, 'model_not_supported', 'model_type is gemma3'],
    [{ hidden_act: 'gelu' }, 'model_not_supported', 'hidden_act is gelu'],
    [{ quantization_config: { quant_method: 'awq' } }, 'model_not_supported', 'quantization_config'],
    [
      { partial_rotary_factor: 0.5, rope_parameters: null },
      'model_not_supported',
      'partial_rotary_factor is 0.5',
    ],
    [
      { rope_parameters: null, rope_scaling: { type: 'yarn', factor: 2 } },
      'model_not_supported',
      'rope type is yarn',
    ],
    [
      { rope_parameters: { rope_type: 'llama3', factor: 2 } },
      'model_corrupt',
      'llama3 needs low_freq_factor',
    ],
    [{ layer_types: ['linear_attention'] }, 'model_not_supported', 'layer_types has linear_attention'],
    [{ num_hidden_layers: 'two' }, 'model_corrupt', 'num_hidden_layers'],
    [{ num_key_value_heads: 3 }, 'model_corrupt', 'cannot share 3 key-value heads'],
    [{ head_dim: 12 }, 'model_not_supported', '(head_dim) is 12; only multiples of 8'],
    [{ num_hidden_layers: 3 }, 'model_corrupt', 'no tensor model.layers.2.input_layernorm.weight'],
    [{ num_hidden_layers: 1 }, 'model_not_supported', 'has a tensor model.layers.1.'],
    [{ intermediate_size: 100 }, 'model_corrupt', 'Tensor model.layers.0.mlp.gate_proj.weight is'],
    [{ mlp_bias: true }, 'model_corrupt', 'no tensor model.layers.0.mlp.gate_proj.bias'],
  ])('refuses %j', async (changes, code, message) => {
    const copy = await copyOf('llama', 'config.json', changes);
    await expect(readHuggingFace(copy)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });

  it('serves a model with a sliding window up to the length of the window', () => {
    const json = { ...MISTRAL, sliding_window: 4096 };
    expect(parseConfig(json, 'config.json').contextLength).toBe(4096);
    expect(parseConfig({ ...json, sliding_window: null }, 'config.json').contextLength).toBe(32_768);
    const qwen = { ...json, model_type: 'qwen2', use_sliding_window: false };
    expect(parseConfig(qwen, 'config.json').contextLength).toBe(32_768);
    expect(parseConfig({ ...qwen, use_sliding_window: true }, 'config.json').contextLength).toBe(4096);
  });

  it('says which file is missing or malformed', async () => {
    const copy = await copyOf('llama-tied');
    await rename(join(copy, 'tokenizer.json'), join(copy, 'tokenizer.model'));
    await expect(readHuggingFace(copy)).rejects.toThrow('has no tokenizer.json');
    await rename(join(copy, 'model.safetensors'), join(copy, 'pytorch_model.bin'));
    await expect(readHuggingFace(copy)).rejects.toThrow('Only safetensors weights are read');
    await writeFile(join(copy, 'config.json'), '{');
    await expect(readHuggingFace(copy)).rejects.toThrow('config.json is not JSON');
    await expect(readHuggingFace(directory)).rejects.toMatchObject({ code: 'model_not_found' });
  });

  it('keeps shards inside the directory', async () => {
    const copy = await copyOf('llama', 'model.safetensors.index.json', {
      weight_map: { 'model.norm.weight': '../outside.safetensors' },
    });
    await expect(readHuggingFace(copy)).rejects.toThrow('must be a safetensors file name');
  });

  it('prefers a template file to the one in tokenizer_config.json, and the default of several', async () => {
    const templates = [
      { name: 'tool_use', template: 'tools' },
      { name: 'default', template: 'plain' },
    ];
    const copy = await copyOf('llama-tied', 'tokenizer_config.json', { chat_template: templates });
    expect((await readHuggingFace(copy)).text.chatTemplate).toBe('plain');
    await writeFile(join(copy, 'chat_template.json'), JSON.stringify({ chat_template: 'json' }));
    expect((await readHuggingFace(copy)).text.chatTemplate).toBe('json');
    await writeFile(join(copy, 'chat_template.jinja'), 'jinja');
    expect((await readHuggingFace(copy)).text.chatTemplate).toBe('jinja');
  });
});

const MISTRAL = {
  model_type: 'mistral',
  num_hidden_layers: 32,
  hidden_size: 4096,
  intermediate_size: 14_336,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  vocab_size: 32_000,
  max_position_embeddings: 32_768,
};
