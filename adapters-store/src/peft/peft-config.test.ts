import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parsePeftConfig } from './peft-config.ts';

/** What `LoraConfig().to_dict()` gives in PEFT 0.21. */
const PEFT_DEFAULTS = {
  alora_invocation_tokens: null,
  alpha_pattern: {},
  arrow_config: null,
  auto_mapping: null,
  base_model_name_or_path: null,
  bias: 'none',
  corda_config: null,
  ensure_weight_tying: false,
  eva_config: null,
  exclude_modules: null,
  fan_in_fan_out: false,
  inference_mode: false,
  init_lora_weights: true,
  kasa_config: null,
  layer_replication: null,
  layers_pattern: null,
  layers_to_transform: null,
  loftq_config: {},
  lora_alpha: 8,
  lora_bias: false,
  lora_dropout: 0.0,
  lora_ga_config: null,
  megatron_config: null,
  megatron_core: 'megatron.core',
  modules_to_save: null,
  monteclora_config: null,
  peft_type: 'LORA',
  peft_version: '0.21.2',
  qalora_group_size: 16,
  r: 8,
  rank_pattern: {},
  revision: null,
  target_modules: null,
  target_parameters: null,
  task_type: null,
  trainable_token_indices: null,
  use_bdlora: null,
  use_dora: false,
  use_qalora: false,
  use_rslora: false,
  velora_config: null,
};

function parse(options: object) {
  const parsed = parsePeftConfig(JSON.stringify({ ...PEFT_DEFAULTS, ...options }));
  return 'issues' in parsed ? { config: null, issues: parsed.issues } : { config: parsed.config, issues: [] };
}

const refusedOptions = (options: object) => parse(options).issues.map(({ where }) => where);

describe('accepts', () => {
  test('every default of PEFT 0.21, and reads it as PEFT does', () => {
    const { config, issues } = parse({});
    expect(issues).toEqual([]);
    expect(config).toMatchObject({
      method: { kind: 'LoRA', rank: 8, alpha: 8, rslora: false, dora: false },
      targeting: { target: new Set(['q_proj', 'v_proj']), excluded: new Set(), layers: null },
    });
  });

  test('the least that PEFT ever wrote', () => {
    const parsed = parsePeftConfig(
      '{"peft_type":"LORA","r":4,"lora_alpha":16.5,"merge_weights":false,"enable_lora":null}',
    );
    expect(parsed).toMatchObject({ config: { method: { rank: 4, alpha: 16.5 } } });
  });

  test.each([
    ['text-to-sql', { method: { rank: 16, alpha: 32, rslora: false } }],
    [
      'headline',
      {
        method: { rank: 4, alpha: 8, rslora: true },
        targeting: { target: new Set(['v_proj', 'q_proj']) },
      },
    ],
  ])('the example %s', (name, expected) => {
    const file = new URL(`../../../examples/adapters/${name}/adapter_config.json`, import.meta.url);
    expect(parsePeftConfig(readFileSync(file, 'utf8'))).toMatchObject({ config: expected });
  });

  test.each<[string, object]>([
    ['dropout', { lora_dropout: 0.1 }],
    ['fan_in_fan_out', { fan_in_fan_out: true }],
    ['inference mode', { inference_mode: true }],
    ['a base model at a revision', { base_model_name_or_path: 'x/y', revision: 'main' }],
    ['a mapping of classes', { auto_mapping: { base_model_class: 'LlamaForCausalLM' } }],
    ['no modules to save', { modules_to_save: [] }],
    ['any initialisation that leaves the base alone', { init_lora_weights: 'gaussian' }],
    ['random initialisation', { init_lora_weights: false }],
    ['EVA with its configuration', { init_lora_weights: 'eva', eva_config: { rho: 2 } }],
    [
      'unknown options that are empty',
      { new_list: [], new_map: {}, new_flag: false, new_text: '', new_one: null },
    ],
  ])('%s', (_what, options) => {
    expect(parse(options).issues).toEqual([]);
  });
});

test('tells adapters that make vectors from those that go on with a text', () => {
  expect(parse({}).config?.task).toBe('generate');
  expect(parse({ task_type: 'CAUSAL_LM' }).config?.task).toBe('generate');
  expect(parse({ task_type: 'FEATURE_EXTRACTION' }).config?.task).toBe('embed');
});

describe('refuses, by its name,', () => {
  test.each<[string, object]>([
    ['peft_type', { peft_type: 'LOHA' }],
    ['peft_type', { peft_type: '__proto__' }],
    ['peft_type', { peft_type: undefined }],
    ['task_type', { task_type: 'SEQ_CLS' }],
    ['bias', { bias: 'all' }],
    ['r', { r: 0 }],
    ['r', { r: -1 }],
    ['r', { r: 1.5 }],
    ['r', { r: '8' }],
    ['lora_alpha', { lora_alpha: null }],
    ['rank_pattern.q_proj', { rank_pattern: { q_proj: 0 } }],
    ['alpha_pattern.q_proj', { alpha_pattern: { q_proj: 'x' } }],
    ['target_modules', { target_modules: 7 }],
    ['exclude_modules', { exclude_modules: '(' }],
    ['exclude_modules', { exclude_modules: 7 }],
    ['modules_to_save', { modules_to_save: ['lm_head'] }],
    ['use_dora', { use_dora: 'yes' }],
    ['lora_bias', { lora_bias: true }],
    ['layer_replication', { layer_replication: [[0, 4]] }],
    ['trainable_token_indices', { trainable_token_indices: [1] }],
    ['target_parameters', { target_parameters: ['x'] }],
    ['alora_invocation_tokens', { alora_invocation_tokens: [1, 2] }],
    ['use_qalora', { use_qalora: true }],
    ['use_bdlora', { use_bdlora: { nblocks: 2 } }],
    ['kasa_config', { kasa_config: { beta: 1 } }],
    ['megatron_config', { megatron_config: { a: 1 } }],
    ['eva_config', { eva_config: { rho: 2 } }],
    ['loftq_config', { loftq_config: { loftq_bits: 4 } }],
    ['init_lora_weights', { init_lora_weights: 'pissa_niter_16' }],
    ['init_lora_weights', { init_lora_weights: 'olora' }],
    ['init_lora_weights', { init_lora_weights: 'corda' }],
    ['init_lora_weights', { init_lora_weights: 'lora_ga' }],
    ['init_lora_weights', { init_lora_weights: 'of the future' }],
    ['option_of_the_future', { option_of_the_future: 0 }],
    ['__proto__', JSON.parse('{"__proto__":{"a":1}}') as object],
    ['layers_to_transform', { target_modules: 'all-linear', layers_to_transform: 1 }],
    ['layers_to_transform', { layers_to_transform: [0.5] }],
    ['layers_pattern', { layers_pattern: 'layers' }],
  ])('%s in %j', (name, options) => {
    expect(refusedOptions(options)).toEqual([name]);
  });

  test('all that is wrong at once', () => {
    const wrong = { r: 0, bias: 'lora_only', lora_bias: true, target_modules: '(', unknown: 'yes' };
    expect(refusedOptions(wrong).sort()).toEqual(['bias', 'lora_bias', 'r', 'target_modules', 'unknown']);
  });

  test.each([
    ['lookahead', '(?!lm_head).*', 'RE2'],
    ['a back-reference', '(a)\\1', 'RE2'],
    ['an open group', '(', 'missing closing'],
    ['a repetition that Python reads otherwise', 'q{,3}', '{,3}'],
    ['a pattern of a thousand characters', 'q'.repeat(1000), 'at most 512'],
  ])('a pattern with %s', (_what, pattern, message) => {
    for (const options of [
      { target_modules: pattern },
      { rank_pattern: { [pattern]: 4 } },
      { layers_to_transform: [0], layers_pattern: [pattern] },
    ]) {
      const { issues } = parse(options);
      expect(issues).toHaveLength(1);
      expect(issues[0]?.message).toContain(message);
    }
  });

  test.each(['', '[]', 'null', '"LORA"', '{"r":NaN}', '{'])('what is no JSON object: %j', (text) => {
    expect(parsePeftConfig(text)).toMatchObject({ issues: [{ where: 'adapter_config.json' }] });
  });
});
