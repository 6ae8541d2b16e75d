import { describe, expect, it } from 'vitest';
import { breakEvenHitRate, Economics, hitRate, NOTHING } from './economics.ts';

const COST = { computeSeconds: 2, promptTokens: 10, completionTokens: 20 };
const ACME = { tenant: 'acme', category: 'code' };

describe('economics', () => {
  it('are kept of all together, and of each tenant', () => {
    const economics = new Economics();
    economics.miss(ACME, 0.01);
    economics.stored(ACME, COST, 0.002);
    economics.hit(ACME, 'exact', COST, 0.001);
    economics.hit({ tenant: 'globex', category: 'code' }, 'similar', COST, 0.003);
    economics.shared(ACME);
    economics.sharedSaved(ACME, COST, 3);
    economics.bypass({ tenant: 'acme', category: 'medical' }, 0.004);
    expect(economics.of('code')).toMatchObject({
      ...{ exactHits: 1, similarHits: 1, sharedHits: 1, misses: 1, bypasses: 0, computed: 1 },
      ...{ promptTokensSaved: 50, completionTokensSaved: 100, computeSecondsSaved: 10 },
    });
    expect(economics.of('code', 'acme')).toMatchObject({
      exactHits: 1,
      similarHits: 0,
      computeSecondsSaved: 8,
    });
    expect(economics.of('code', 'globex')).toMatchObject({ exactHits: 0, similarHits: 1, misses: 0 });
    expect(economics.of('medical', 'acme').bypasses).toBe(1);
    expect(economics.of('code', 'nobody')).toBe(NOTHING);
    expect(economics.of('chat')).toBe(NOTHING);
  });
});

it('the hit rate is of all requests', () => {
  expect(hitRate(NOTHING)).toBe(null);
  expect(hitRate({ ...NOTHING, exactHits: 1, similarHits: 1, sharedHits: 1, misses: 4, bypasses: 5 })).toBe(
    0.25,
  );
});

it('the break-even hit rate is what a lookup and keeping an answer cost, by what an answer does', () => {
  expect(breakEvenHitRate({ ...NOTHING, misses: 3, lookupSeconds: 1 })).toBe(null);
  const books = { ...NOTHING, exactHits: 2, misses: 8, lookupSeconds: 0.1, computed: 8, computeSeconds: 8 };
  expect(breakEvenHitRate(books)).toBeCloseTo(0.01);
  expect(breakEvenHitRate({ ...books, storeSeconds: 0.08 })).toBeCloseTo(0.02 / 1.01);
  // Answers that are made faster than they are found.
  expect(breakEvenHitRate({ ...books, computeSeconds: 0.04 })).toBeCloseTo(2);
});
