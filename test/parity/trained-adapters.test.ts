/**
 * Adapters that PEFT trains and saves here and now, pushed to a store and served without conversion. The committed ones of
 * adapter-types.test.ts stand in for them where Python has no PEFT.
 */
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FIXTURES } from '../support/engine.ts';
import { type Gateway, launch, START_MILLISECONDS, startGateway } from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';
import { NEEDS_PEFT, pythonHas, runPython } from '../support/python.ts';
import { distance } from './expected.ts';

const TYPES = ['lora', 'rslora', 'dora', 'ia3', 'road-1', 'road-2', 'road-4', 'vera'];
/** Trained factors are rounded to f16 in the page pool, as keys and values are. */
const MEAN = 0.005;
const MAX = 0.05;
/** Greedy choices this near (in natural log) may fall either way. */
const TIE = 0.1;

interface Trained {
  readonly adapter: string;
  readonly prompt: number[];
  readonly greedy_ids: readonly number[];
  readonly margins: readonly number[];
  /** Of every token but the first. */
  readonly logprobs: readonly number[];
  /** The same before the training, of the choices that the base made. */
  readonly without: readonly number[];
}

describe.skipIf(!pythonHas())(`adapters trained by PEFT (${NEEDS_PEFT})`, () => {
  describe.each(['llama-tied', 'qwen2'])('on %s', (model) => {
    let folder: string;
    let gateway: Gateway;
    let trained: readonly Trained[];
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'polylora-trained-'));
      const directory = join(FIXTURES, 'models', model);
      await runPython('test/parity/train_adapters.py', directory, join(folder, 'peft'));
      trained = JSON.parse(readFileSync(join(folder, 'peft', 'expected.json'), 'utf8')) as Trained[];
      await mkdir(join(folder, 'none'));
      gateway = await startGateway({
        adapters: join(folder, 'none'),
        args: ['--model', directory, '--weights', 'f32', '--store', join(folder, 'store')],
        env: { POLYLORA_OPERATOR_KEY: OPERATOR_KEY, POLYLORA_HOME: join(folder, 'home') },
      });
    }, START_MILLISECONDS);
    afterAll(async () => {
      await gateway?.stop();
      await rm(folder, { recursive: true, force: true });
    });

    async function adapters(...args: string[]): Promise<void> {
      const env = { POLYLORA_URL: gateway.url, POLYLORA_OPERATOR_KEY: OPERATOR_KEY };
      const { exited, output } = launch(['adapters', ...args], env);
      expect(await exited, output.stderr).toBe(0);
    }

    it.each(TYPES)('%s is served as it was saved', async (name) => {
      const one = trained.find(({ adapter }) => adapter === name)!;
      const served = `acme/${name}`;
      await adapters('push', join(folder, 'peft', name), '--name', served);
      await adapters('grant', served, '--tenant', '*');

      const answer = await gateway.client.completions.create({
        model: served,
        prompt: one.prompt,
        max_tokens: one.greedy_ids.length,
        temperature: 0,
        logprobs: 1,
        // Of vLLM; the official client passes on what it does not know.
        ...{ ignore_eos: true },
      });
      const tie = one.margins.findIndex((margin) => margin < TIE);
      const certain = tie === -1 ? one.margins.length : tie;
      expect(certain).toBeGreaterThan(0);
      const logprobs = answer.choices[0]!.logprobs!.token_logprobs!.slice(0, certain);
      const completionOf = (series: readonly number[]) =>
        series.slice(one.prompt.length - 1).slice(0, certain);
      const { mean, max } = distance(logprobs, completionOf(one.logprobs));
      expect(mean).toBeLessThan(MEAN);
      expect(max).toBeLessThan(MAX);
      expect(distance(logprobs, completionOf(one.without)).mean).toBeGreaterThan(10 * MEAN);
    });
  });
});
