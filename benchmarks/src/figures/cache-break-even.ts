import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { askCached } from '../cache/cached-chat.ts';
import { LABELLED_PAIRS } from '../cache/labelled-pairs.ts';
import { startGateway } from '../http/gateway.ts';
import type { Figure } from './figure.ts';

const QUESTIONS = 60;
const QUICK_QUESTIONS = 12;
/** A short answer: a longer one saves more. */
const MAX_TOKENS = 64;
const OPERATOR_KEY = 'operator-key-of-the-benchmarks';

export const cacheBreakEven: Figure = {
  name: 'cache-break-even',
  description: `share of requests that has to be answered by the cache for it to cost no more than it saves, answers of ${MAX_TOKENS} tokens of the default model`,
  must: '<=',
  bound: 0.03,
  async measure({ quick = false }) {
    const folder = mkdtempSync(join(tmpdir(), 'polylora-break-even-'));
    const gateway = await startGateway([
      ...['--cache', 'semantic', '--data-directory', folder, '--embedding-start', 'start'],
      ...['--operator-key', OPERATOR_KEY],
    ]);
    try {
      const queries = [...new Set(LABELLED_PAIRS.map(({ query }) => query))];
      const count = quick ? QUICK_QUESTIONS : QUESTIONS;
      for (const query of queries.slice(0, count)) {
        await askCached(gateway.url, query, { maxTokens: MAX_TOKENS, category: 'general' });
      }
      const response = await fetch(`${gateway.url}/admin/v1/cache`, {
        headers: { authorization: `Bearer ${OPERATOR_KEY}` },
      });
      const { categories } = (await response.json()) as { categories: CategoryBooks[] };
      const books = categories.find(({ name }) => name === 'general');
      if (books === undefined || books.break_even_hit_rate === null) throw new Error('nothing was measured');
      return {
        value: books.break_even_hit_rate,
        details: [`the server's own books of ${count} questions: ${JSON.stringify(books)}`],
      };
    } finally {
      await gateway.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

interface CategoryBooks {
  readonly name: string;
  readonly break_even_hit_rate: number | null;
}
