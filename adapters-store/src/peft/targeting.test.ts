import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { rankAndScale, unusableScale } from './methods/lora.ts';
import { parsePeftConfig } from './peft-config.ts';
import { resolveTargetModules } from './targeting.ts';

interface PeftCase {
  readonly config: Record<string, unknown>;
  /** Rank and scale by module, as PEFT itself had them; absent where PEFT refuses the configuration. */
  readonly modules?: Record<string, [rank: number, scale: number]>;
}
const cases = JSON.parse(
  readFileSync(new URL('fixtures/peft-matching.json', import.meta.url), 'utf8'),
) as PeftCase[];

function resolve(config: object, layerCount = 4) {
  const parsed = parsePeftConfig(JSON.stringify({ peft_type: 'LORA', ...config }));
  if ('issues' in parsed) return { targets: [], issues: parsed.issues };
  const { targeting, method } = parsed.config;
  if (method.kind !== 'LoRA') throw new Error('these tests are of LoRA');
  const model = { layerCount, projection: () => ({ in: 8, out: 8 }) };
  const { targets, issues } = resolveTargetModules(targeting, model);
  const scale = unusableScale(method, targets);
  return {
    targets: targets.map((target) => ({ ...target, ...rankAndScale(method, target.name) })),
    issues: scale === null ? issues : [...issues, scale],
  };
}

test.each(cases)('adapts what PEFT adapts, with its rank and scale: $config', ({ config, modules }) => {
  const { targets, issues } = resolve(config);
  if (modules === undefined) {
    expect(issues).not.toEqual([]);
    return;
  }
  expect(issues).toEqual([]);
  expect(Object.fromEntries(targets.map(({ name, rank, scale }) => [name, [rank, scale]]))).toEqual(modules);
});

test('gives modules in order of layer, then of the kernels', () => {
  const { targets } = resolve({ target_modules: ['up_proj', 'k_proj', 'q_proj'] }, 2);
  expect(targets.map(({ layer, module }) => `${layer}.${module}`)).toEqual([
    '0.q_proj',
    '0.k_proj',
    '0.up_proj',
    '1.q_proj',
    '1.k_proj',
    '1.up_proj',
  ]);
});

describe('refuses, naming the option,', () => {
  test.each([
    ['lm_head', { target_modules: ['q_proj', 'lm_head'] }, 'target_modules', 'lm_head'],
    ['embeddings', { target_modules: '.*(q_proj|embed_tokens)' }, 'target_modules', 'model.embed_tokens'],
    ['names that match nothing', { target_modules: ['c_attn'] }, 'target_modules', 'matches no module'],
    ['layers that do not exist', { layers_to_transform: [4] }, 'target_modules', 'matches no module'],
    ['a scale beyond float16', { lora_alpha: 1e9 }, 'lora_alpha', '65504'],
  ])('%s', (_what, config, where, message) => {
    expect(resolve(config).issues).toEqual([{ where, message: expect.stringContaining(message) as string }]);
  });
});

describe('regular expressions take linear time', () => {
  test.each([
    ['a catastrophic one', { target_modules: '(((m|o|d|e|l|.)+)+)+!' }],
    ['one of a thousand optional parts', { target_modules: '(.?){900}!' }],
    ['one of a million instructions', { target_modules: `(${'x'.repeat(500)}){1000}` }],
    ['500,000 names', { target_modules: Array.from({ length: 500_000 }, (_, index) => `x${index}`) }],
    [
      '100,000 patterns',
      { rank_pattern: Object.fromEntries(Array.from({ length: 1e5 }, (_, index) => [`x${index}`, 1])) },
    ],
  ])('%s is matched or refused within seconds', (_what, config) => {
    const start = performance.now();
    expect(resolve(config, 30).issues).not.toEqual([]);
    expect(performance.now() - start).toBeLessThan(5_000);
  });

  test('a pattern for each of 210 modules is within the limits', () => {
    const { targets } = resolve({ target_modules: 'all-linear' }, 30);
    const ranks = Object.fromEntries(targets.map(({ name }, index) => [name, index + 1]));
    const patterned = resolve(
      { target_modules: 'all-linear', rank_pattern: ranks, alpha_pattern: ranks },
      30,
    );
    expect(patterned.targets.map(({ rank }) => rank)).toEqual(targets.map((_, index) => index + 1));
  });
});
