import { setTimeout as sleep } from 'node:timers/promises';
import type { Embedder } from '@polylora/engine';
import { ANSWER, type CacheSetting, questionFor } from './cache-setting.ts';
import type { EmbeddedText } from './question-vectors.ts';

/** Candidates that are looked at for each question, and some more. */
const CANDIDATES = 5;

/** Entries as they are after a restart; the documents of those that a search will come upon are in the store. */
export async function fillCache(
  setting: CacheSetting,
  embedder: Embedder,
  entries: readonly EmbeddedText[],
  asked: readonly EmbeddedText[],
): Promise<void> {
  const { cache, index, documents } = setting;
  const { digest } = await embedder.load();
  const now = Date.now();
  const head = (number: number) => {
    const { text, vector } = entries[number]!;
    const { server, partition, exactKey, tenant } = questionFor(text);
    return {
      ...{
        id: String(number),
        server,
        partition,
        exactKey,
        tenant,
        model: 'base',
        root: 'base',
        category: 'general',
      },
      ...{ tags: [], createdAt: now, expiresAt: now + 86_400_000, bytes: 2_000, computeSeconds: 1 },
      ...{ promptTokens: 24, completionTokens: 24, vector, encoder: digest, hits: 0 },
    };
  };
  for (let number = 0; number < entries.length; number++) {
    cache.kept.restore(head(number));
    // The index works between other work.
    if (number % 64 === 0) await new Promise(setImmediate);
  }
  // The graph of so many takes a minute or two.
  while (!index.isSettled) await sleep(200);
  const near = new Set<string>();
  for (const { text, vector } of asked) {
    const found = index.search(questionFor(text).partition, vector, {
      threshold: 0.8,
      k: CANDIDATES,
      now: 0,
    });
    for (const { id } of found) near.add(id);
  }
  const put = async (id: string) => {
    const { text } = entries[Number(id)]!;
    const [embedding] = await embedder.embed({ inputs: [text], truncate: 'model', signature: true });
    const { signature } = embedding!;
    await documents.put({ ...head(Number(id)), question: text, signature, answer: ANSWER });
  };
  // Together: the store collects what it writes.
  await Promise.all([...near].map(put));
}
