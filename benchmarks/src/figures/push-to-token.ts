import { mkdtempSync, openAsBlob, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeRandomAdapters } from '../adapters/random-adapter.ts';
import { streamCompletion } from '../http/completion-stream.ts';
import { startGateway } from '../http/gateway.ts';
import { randomPrompt } from '../http/token-prompt.ts';
import { formatSpread, spread } from '../statistics.ts';
import type { Figure } from './figure.ts';

const ROUNDS = 7;
/** On all seven projections: 9.8 MB. */
const RANK = 16;
const NAME = 'bench/pushed';
const OPERATOR_KEY = 'operator-key-of-the-benchmarks';
const PROMPT_TOKENS = 16;

export const pushToToken: Figure = {
  name: 'push-to-token',
  description: `ms from the beginning of pushing an adapter of rank ${RANK} (10 MB) over HTTP to the first token that is generated with it`,
  must: '<=',
  bound: 500,
  async measure({ rounds = ROUNDS }) {
    const folder = mkdtempSync(join(tmpdir(), 'polylora-push-'));
    const names = writeRandomAdapters(join(folder, 'adapters'), rounds + 1, RANK);
    const environment = process.env.POLYLORA_OPERATOR_KEY;
    process.env.POLYLORA_OPERATOR_KEY = OPERATOR_KEY;
    const gateway = await startGateway(['--store', join(folder, 'store')]).finally(() => {
      if (environment === undefined) delete process.env.POLYLORA_OPERATOR_KEY;
      else process.env.POLYLORA_OPERATOR_KEY = environment;
    });
    try {
      const [pushes, totals]: [number[], number[]] = [[], []];
      for (const [round, name] of names.entries()) {
        const directory = join(folder, 'adapters', name);
        const beginning = performance.now();
        await push(gateway.url, directory);
        const pushed = performance.now();
        // Only the first time: a name keeps its grants.
        if (round === 0) await grantEveryone(gateway.url);
        const body = { model: NAME, prompt: randomPrompt(PROMPT_TOKENS, round + 1), max_tokens: 2 };
        const { firstTokenAt } = await streamCompletion(gateway.url, { ...body, ignore_eos: true });
        if (round === 0) continue;
        pushes.push(pushed - beginning);
        totals.push(firstTokenAt - beginning);
      }
      const total = spread(totals);
      const bytes = statSync(join(folder, 'adapters', names[0] ?? '', 'adapter_model.safetensors')).size;
      return {
        value: total.median,
        details: [
          `${formatSpread(total)} ms in all, of which pushing ${(bytes / 1e6).toFixed(1)} MB took ${formatSpread(spread(pushes))} ms (copied, checked, synced, recorded)`,
          `${rounds} rounds, another adapter under the same name each`,
        ],
      };
    } finally {
      await gateway.stop();
      rmSync(folder, { recursive: true });
    }
  },
};

async function push(url: string, directory: string): Promise<void> {
  const form = new FormData();
  form.set('name', NAME);
  form.set('config', await openAsBlob(join(directory, 'adapter_config.json')), 'adapter_config.json');
  form.set('weights', await openAsBlob(join(directory, 'adapter_model.safetensors')), 'weights');
  await admin(url, '', { method: 'POST', body: form });
}

async function grantEveryone(url: string): Promise<void> {
  await admin(url, `/${encodeURIComponent(NAME)}/grants`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ tenant: '*' }),
  });
}

async function admin(url: string, path: string, init: RequestInit): Promise<void> {
  const headers = { ...init.headers, authorization: `Bearer ${OPERATOR_KEY}` };
  const response = await fetch(`${url}/admin/v1/adapters${path}`, { ...init, headers });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
}
