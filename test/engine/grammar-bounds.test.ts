/** RELIABILITY 17: what grammars may take is bounded, and others are served meanwhile. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GrammarCompiler, Tokenizer } from '@polylora/engine-native';
import { describe, expect, it } from 'vitest';
import { GRAMMAR_LIMITS, GrammarCache } from '../../engine/src/grammar/grammar-cache.ts';
import type { Constraint } from '../../engine/src/types.ts';
import { FIXTURES } from '../support/engine.ts';

const PATIENCE_MS = 300_000;
const DISTINCT = 10_000;
const MEGABYTE = 2 ** 20;

function cache(limits = GRAMMAR_LIMITS): GrammarCache {
  const tokenizer = new Tokenizer(readFileSync(join(FIXTURES, 'models', 'llama', 'tokenizer.json')));
  const control = tokenizer.controlTokens().map(({ id }) => id);
  return new GrammarCache(new GrammarCompiler(tokenizer, { vocabSize: 307, control, ends: [306] }), limits);
}

function schema(index: number): Constraint {
  const properties = Object.fromEntries(
    Array.from({ length: 8 }, (_, each) => [
      `field_${index}_${each}`,
      { type: 'string', maxLength: index % 50 },
    ]),
  );
  const text = JSON.stringify({ type: 'object', properties, required: Object.keys(properties) });
  return { kind: 'json_schema', field: 'schema', schema: text, lenient: false };
}

describe('grammars', { timeout: PATIENCE_MS }, () => {
  it('take bounded memory however many distinct ones are asked for', async () => {
    const grammars = cache();
    const before = process.memoryUsage.rss();
    for (let index = 0; index < DISTINCT; index++) {
      const lease = await grammars.begin('tenant', schema(index));
      lease.release();
      const { cached, cachedBytes } = grammars.stats;
      expect(cached).toBeLessThanOrEqual(GRAMMAR_LIMITS.cached);
      expect(cachedBytes).toBeLessThanOrEqual(GRAMMAR_LIMITS.cachedBytes);
    }
    expect(grammars.stats.compilations.count).toBe(DISTINCT);
    expect(process.memoryUsage.rss() - before).toBeLessThan(600 * MEGABYTE);
  });

  it('are compiled once for all that ask at once, and again for another tenant', async () => {
    const grammars = cache();
    const leases = await Promise.all(Array.from({ length: 20 }, () => grammars.begin('a', schema(1))));
    expect(grammars.stats).toMatchObject({ hits: 19, compilations: { count: 1 } });
    await grammars.begin('b', schema(1));
    expect(grammars.stats.compilations.count).toBe(2);
    for (const { release } of leases) release();
  });

  it('of one tenant do not keep another waiting', async () => {
    const grammars = cache();
    const flood = Array.from({ length: 60 }, (_, index) => grammars.begin('a', schema(index)));
    await grammars.begin('b', schema(5));
    expect(grammars.stats.compilations.count).toBeLessThan(10);
    await Promise.all(flood);
    const refused = await Promise.allSettled(
      Array.from({ length: 100 }, (_, index) => grammars.begin('a', schema(1000 + index))),
    );
    const codes = refused.flatMap((each) =>
      each.status === 'rejected' ? [(each.reason as { code: string }).code] : [],
    );
    expect(new Set(codes)).toEqual(new Set(['engine_overloaded']));
  });

  it('in use have their bound too', async () => {
    const grammars = cache({ ...GRAMMAR_LIMITS, usedBytes: 1 });
    const first = await grammars.begin('a', schema(1));
    await expect(grammars.begin('a', schema(1))).rejects.toMatchObject({ code: 'engine_overloaded' });
    first.release();
    (await grammars.begin('a', schema(1))).release();
  });

  it('that nobody waits for any more are not compiled', async () => {
    const grammars = cache();
    const busy = grammars.begin('a', schema(1));
    const abort = new AbortController();
    const left = expect(grammars.begin('a', schema(2), abort.signal)).rejects.toThrow('nobody waits');
    abort.abort();
    await busy;
    await left;
    expect(grammars.stats.compilations.count).toBe(1);
  });
});
