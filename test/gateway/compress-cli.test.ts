/** `polylora adapters compress` as somebody runs it who has a fine-tune: without a server. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FIXTURES } from '../support/engine.ts';
import { launch } from '../support/gateway.ts';

const MODELS = join(FIXTURES, 'models');
const BASE = join(MODELS, 'llama-tied');
/** The same weights with less precision: as if by a fine-tune that has moved every one a little. */
const TUNED = join(MODELS, 'gguf', 'llama-q8_0.gguf');

describe('polylora adapters compress', () => {
  let root: string;
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'polylora-compress-'));
  });
  afterAll(() => {
    rmSync(root, { recursive: true });
  });

  async function compress(...args: string[]) {
    const { exited, output } = launch(['adapters', 'compress', ...args], {
      POLYLORA_HOME: join(root, 'home'),
      POLYLORA_OPERATOR_KEY: '',
    });
    return { status: await exited, ...output };
  }

  it('writes an adapter and says how small and how near it is', async () => {
    const out = join(root, 'delta');
    const args = [TUNED, '--base', BASE, '--rank', '1', '--keep-base-embeddings'];
    const { status, stdout, stderr } = await compress(...args, '--out', out);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(readdirSync(out).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
    expect(stdout).toMatch(/^PROJECTION +RANK +FLOAT16 +DELTA +SMALLER +ERROR\nq_proj +1 /);
    expect(stdout).toMatch(/\nall +[\d.]+ kB +[\d.]+ kB +[\d.]+ x +\d+\.\d %\n/);
    expect(stdout).toMatch(
      /Kept of the base: model.embed_tokens.weight, which the fine-tune moved by [\d.]+ %/,
    );

    const json = await compress(...args, '--json', '--out', join(root, 'json'));
    expect(JSON.parse(json.stdout)).toMatchObject({
      kinds: expect.arrayContaining([expect.objectContaining({ module: 'q_proj', rank: 1 })]) as unknown,
      leftOut: [{ name: 'model.embed_tokens.weight' }],
    });
  });

  it.each([
    [['--out', 'x'], 2, 'Say what it was tuned from: --base.'],
    [['--base', BASE], 2, 'Say where the adapter is to go: --out.'],
    [['--base', BASE, '--out', 'x', '--rank', '1', '--size-target', '7'], 2, 'Give --size-target or --rank'],
    [['--base', BASE, '--out', 'x', '--size-target', '9'], 2, '--size-target must be from 1 to 8.'],
    [['--base', BASE, '--out', 'x', '--size-target', 'small'], 2, '--size-target must be from 1 to 8.'],
    [['--base', BASE, '--out', 'x', '--rank', '-1'], 2, 'argument is ambiguous'],
    [['--base', BASE, '--out', 'x', '--rank=1.5'], 2, '--rank must be a whole number'],
    [['--base', BASE, '--out', 'x', '--url', 'http://x'], 2, "Unknown option '--url'"],
    [['--base', '/nowhere', '--out', 'x'], 1, 'There is no model at /nowhere'],
    [['--base', BASE, '--out', 'x'], 1, "--keep-base-embeddings keeps the base's"],
    [['--base', join(MODELS, 'qwen3'), '--out', 'x'], 1, "architecture is llama, the base's qwen3"],
    [['--base', BASE, '--out', MODELS, '--rank', '1', '--keep-base-embeddings'], 1, 'is there already'],
    [['--base', BASE, '--out', 'x', '--keep-base-embeddings'], 1, 'times smaller than float16, not 7 times'],
  ])('refuses %j', async (args, expected, problem) => {
    const { status, stdout, stderr } = await compress(TUNED, ...args);
    expect(stderr).toContain(problem);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect({ status, stdout }).toEqual({ status: expected, stdout: '' });
    expect(existsSync('x')).toBe(false);
  });
});
