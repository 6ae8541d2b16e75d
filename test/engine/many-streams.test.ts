/** 256 streams of 16 tenants over 64 adapters in a pool that holds a few of them: nothing is lost, doubled or changed. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Ask, addAdapter, ask, startTinyEngine, tokens } from '../support/engine.ts';
import { writeRandomAdapter } from '../support/random-adapter.ts';
import { expectSameBits } from '../support/same-bits.ts';

const MODEL = 'llama-tied';
const STREAMS = 256;
const ADAPTERS = 64;
const TENANTS = 16;
/** Streams whose answers are compared with those that they get alone. */
const COMPARED = 48;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'polylora-streams-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it('answers 256 streams over 64 adapters as it answers each alone', async () => {
  const roomy = await startTinyEngine(MODEL, { prefixCache: 'off' });
  const { pagesTotal } = await roomy.stats();
  const crowded = await startTinyEngine(MODEL, {
    poolBytes: Math.floor(((16 << 20) / pagesTotal) * 400),
    maxModelLen: 256,
    maxRunning: 48,
    maxBatchTokens: 128,
  });
  try {
    const digests: string[] = [];
    for (let index = 0; index < ADAPTERS; index++) {
      const directory = join(folder, `adapter-${index}`);
      await writeRandomAdapter(directory, roomy.model, { rank: 1 + (index % 24), seed: index });
      await addAdapter(roomy, directory);
      digests.push(await addAdapter(crowded, directory));
    }
    const asks = Array.from({ length: STREAMS }, (_, index): Ask => {
      const shared = Array.from({ length: 40 }, (_, at) => 5 + ((at * 7 + (index % TENANTS)) % 200));
      const own = Array.from({ length: 1 + (index % 50) }, (_, at) => 5 + ((at * 13 + index) % 200));
      return {
        prompt: tokens([...shared, ...own]),
        adapter: index % 9 === 0 ? null : digests[(index * 29) % ADAPTERS]!,
        sampling: {
          temperature: index % 2,
          seed: index,
          maxTokens: 1 + ((index * 11) % 60),
          ignoreEos: true,
          logprobs: 1,
        },
        scheduling: {
          tenant: `tenant-${index % TENANTS}`,
          priority: (['normal', 'normal', 'batch', 'high'] as const)[index % 4]!,
        },
      };
    });
    // Every fifth client leaves: its tokens until then are its answer's first ones.
    const signals = asks.map((_, index) =>
      index % 5 === 4 ? AbortSignal.timeout(20 + index * 3) : undefined,
    );
    const answers = await Promise.all(asks.map((one, index) => ask(crowded, one, signals[index])));
    for (const [index, { error, finish, ids, logprobs }] of answers.entries()) {
      expect(error, `stream ${index}`).toBeNull();
      expect(logprobs).toHaveLength(ids.length);
      if (finish?.reason === 'abort') continue;
      expect(ids, `stream ${index}`).toHaveLength(asks[index]!.sampling!.maxTokens!);
    }
    for (let index = 0; index < STREAMS; index += Math.floor(STREAMS / COMPARED)) {
      const alone = await ask(roomy, asks[index]!);
      const answer = answers[index]!;
      if (answer.finish?.reason === 'abort')
        expect(alone.ids.slice(0, answer.ids.length)).toEqual(answer.ids);
      else expectSameBits(answer, alone, `stream ${index}`);
    }
    await expect.poll(async () => (await crowded.stats()).pagesKv).toBe(0);
    const { adapterEvictionsTotal, adapterLoadsTotal, prefixHitsTotal, tenants, waiting } =
      await crowded.stats();
    expect(adapterEvictionsTotal.kv + adapterEvictionsTotal.adapter).toBeGreaterThan(0);
    expect(adapterLoadsTotal).toBeGreaterThanOrEqual(ADAPTERS - 8);
    expect(prefixHitsTotal).toBeGreaterThan(0);
    expect({ tenants, waiting }).toEqual({ tenants: [], waiting: 0 });
  } finally {
    await roomy.close();
    await crowded.close();
  }
}, 120_000);
