import { describe, expect, test } from 'vitest';
import { aboutConfig, type Chosen, type ChosenFile, chooseFiles } from './adapter-files.ts';

const NONE: Chosen<ChosenFile> = { config: null, weights: null, problem: null };
const files = (...names: string[]) => names.map((name) => ({ name }));

describe('chooseFiles', () => {
  test('finds the two among what lies in an adapter’s folder', () => {
    const chosen = chooseFiles(
      NONE,
      files('README.md', 'tokenizer.json', 'adapter_config.json', 'adapter_model.safetensors'),
    );
    expect(chosen).toEqual({
      config: { name: 'adapter_config.json' },
      weights: { name: 'adapter_model.safetensors' },
      problem: null,
    });
  });

  test('takes them one after the other, by any name', () => {
    const first = chooseFiles(NONE, files('my-config.json'));
    const both = chooseFiles(first, files('weights.safetensors'));
    expect([both.config?.name, both.weights?.name, both.problem]).toEqual([
      'my-config.json',
      'weights.safetensors',
      null,
    ]);
  });

  test.each([
    [['adapter_model.bin'], /pickle/],
    [['notes.txt'], /None of these/],
    [['a.safetensors', 'b.safetensors'], /several files of weights/],
  ])('says what is wrong with %j', (names, problem) => {
    expect(chooseFiles(NONE, files(...names)).problem).toMatch(problem);
  });
});

describe('aboutConfig', () => {
  test('tells what kind of adapter it is', () => {
    const config = {
      peft_type: 'LORA',
      r: 8,
      target_modules: ['q_proj', 'v_proj'],
      base_model_name_or_path: 'x/y',
    };
    expect(aboutConfig(JSON.stringify(config))).toBe('LORA · rank 8 · q_proj, v_proj · for x/y');
  });

  test.each([
    ['{', null],
    ['null', 'no peft_type'],
    ['{"r": "8"}', 'no peft_type'],
  ])('%s is %s', (text, about) => {
    expect(aboutConfig(text)).toBe(about);
  });
});
