import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeAdapterFleet } from '../adapters/adapter-fleet.ts';
import { streamCompletion } from '../http/completion-stream.ts';
import { startGateway } from '../http/gateway.ts';
import { scrapeMetric } from '../http/scrape.ts';
import { randomPrompt } from '../http/token-prompt.ts';
import { benchmarkCache } from '../paths.ts';
import type { Figure } from './figure.ts';

/** RELIABILITY asks for sixty. */
const MINUTES = 5;
const STREAMS = 256;
const ADAPTERS = 64;
const TENANTS = 16;
/** Holds some of the adapters: they come and go, and so do prefixes. */
const POOL_MEGABYTES = 384;
/** Different requests; each is asked alone first, and many times then. */
const QUESTIONS = 128;
/** Every so-manieth request's client leaves after some tokens. */
const LEAVES_EVERY = 16;
/** What is to be touched once has been after this share of the time. */
const WARM_UP = 0.3;
const SAMPLE_MS = 2_000;
const MB = 1e6;

/** RELIABILITY 26. */
export const soak: Figure = {
  name: 'soak',
  description: `memory of the gateway and its engine at the end of ${STREAMS} streams of ${TENANTS} tenants over ${ADAPTERS} adapters, for as many minutes as there are rounds ÷ after ${100 * WARM_UP} % of them; no answer may differ from that given alone`,
  must: '<=',
  bound: 1.1,
  async measure({ rounds: minutes = MINUTES }) {
    const folder = join(benchmarkCache(), `adapter-fleet-${ADAPTERS}`);
    mkdirSync(folder, { recursive: true });
    const { names } = writeAdapterFleet(folder, ADAPTERS);
    const gateway = await startGateway([
      '--adapters',
      folder,
      '--pool-megabytes',
      String(POOL_MEGABYTES),
      '--prefix-cache',
      'tenant',
      '--speculation',
      'auto',
    ]);
    try {
      const question = (index: number) => ({
        model: index % 9 === 0 ? 'base' : names[(index * 29) % ADAPTERS],
        prompt: [
          ...randomPrompt(48, 1 + (index % TENANTS)),
          ...randomPrompt(1 + ((index * 7) % 60), 100 + index),
        ],
        max_tokens: 1 + ((index * 11) % 40),
        temperature: index % 2,
        seed: index,
        ignore_eos: true,
      });
      const expected: string[] = [];
      for (let index = 0; index < QUESTIONS; index++) {
        const { text } = await streamCompletion(gateway.url, question(index), { apiKey: 'alone' });
        expected.push(text);
      }
      const until = performance.now() + minutes * 60_000;
      let [asked, answered, left] = [0, 0, 0];
      const stream = async (number: number) => {
        while (performance.now() < until) {
          const request = asked++;
          const index = (request * 37) % QUESTIONS;
          const leaves = request % LEAVES_EVERY === LEAVES_EVERY - 1;
          const client = { apiKey: `tenant-${number % TENANTS}` };
          const asking = streamCompletion(
            gateway.url,
            question(index),
            leaves ? { ...client, signal: AbortSignal.timeout(100 + (request % 3000)) } : client,
          );
          const done = await asking.catch((error: unknown) => {
            if (!leaves) throw error;
            return null;
          });
          if (done === null) left++;
          else if (done.text !== expected[index] || done.completionTokens !== question(index).max_tokens) {
            throw new Error(`question ${index} was answered otherwise than alone`);
          } else answered++;
        }
      };
      const memory: number[] = [];
      const ended = new AbortController();
      const sampling = (async () => {
        while (!ended.signal.aborted) {
          memory.push(residentBytes(gateway.child.pid ?? 0));
          await sleep(SAMPLE_MS, undefined, { signal: ended.signal }).catch(() => {});
        }
      })();
      await Promise.all(Array.from({ length: STREAMS }, (_, number) => stream(number))).finally(() =>
        ended.abort(),
      );
      await sampling;
      const mean = (values: readonly number[]) =>
        values.reduce((sum, value) => sum + value, 0) / values.length;
      const window = Math.max(1, Math.floor(memory.length * 0.1));
      const warm = Math.floor(memory.length * WARM_UP);
      const [early, late] = [mean(memory.slice(warm, warm + window)), mean(memory.slice(-window))];
      const loads = await scrapeMetric(gateway.url, 'polylora_adapter_loads_total');
      const preemptions = await scrapeMetric(gateway.url, 'vllm:num_preemptions_total');
      return {
        value: late / early,
        details: [
          `${answered} answers in ${minutes} min, each equal to that given alone; ${left} clients left before theirs`,
          `resident: ${(early / MB).toFixed(0)} MB after ${100 * WARM_UP} % of the time, ${(late / MB).toFixed(0)} MB at the end, at most ${(Math.max(...memory) / MB).toFixed(0)} MB`,
          `${loads} adapters read, ${preemptions} preemptions`,
        ],
      };
    } finally {
      await gateway.stop();
    }
  },
};

/** Memory in RAM of a process and its children, in bytes. */
function residentBytes(pid: number): number {
  const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]);
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
  return pages * 4096 + children.reduce((sum, child) => sum + residentBytes(Number(child)), 0);
}
