import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PoolMap, PoolOwner } from '../../api/types.ts';
import { decodeRuns, ownerText, pagesByKind, pagesByOwner } from './page-runs.ts';

const OWNERS: readonly PoolOwner[] = [
  { kind: 'free' },
  { kind: 'kv', request: 'chatcmpl-1', tenant: 'acme', adapter: null },
  { kind: 'adapter', name: 'pirate', digest: 'ab', pinned: true, running: 2 },
  { kind: 'prefix', tenant: null, adapter: 'pirate', hits: 3 },
];

function mapOf(runs: readonly (readonly [number, number])[]): PoolMap {
  const total = runs.reduce((sum, [, count]) => sum + count, 0);
  return { page_bytes: 65_536, pages_total: total, owners: OWNERS, runs };
}

const runs = fc.array(fc.tuple(fc.nat(OWNERS.length - 1), fc.nat(50)));

describe('decodeRuns', () => {
  test('gives each page its owner, in their order', () => {
    expect([
      ...decodeRuns(
        mapOf([
          [2, 2],
          [0, 1],
          [1, 3],
        ]),
      ),
    ]).toEqual([2, 2, 0, 1, 1, 1]);
  });

  test('is what was encoded, whatever that is', () => {
    fc.assert(
      fc.property(runs, (given) => {
        const pages = given.flatMap(([owner, count]) => new Array<number>(count).fill(owner));
        expect([...decodeRuns(mapOf(given))]).toEqual(pages);
      }),
    );
  });

  test.each([
    ['an owner that there is not', [[4, 1]] as const, 1],
    ['more pages than there are', [[0, 3]] as const, 2],
    ['fewer pages than there are', [[0, 1]] as const, 2],
    [
      'less than no page',
      [
        [0, 2],
        [1, -1],
      ] as const,
      1,
    ],
  ])('refuses %s', (_what, given, total) => {
    expect(() => decodeRuns({ ...mapOf([]), runs: given, pages_total: total })).toThrow(/map of pages/);
  });
});

test('every page is counted once, by owner and by kind', () => {
  fc.assert(
    fc.property(runs, (given) => {
      const map = mapOf(given);
      const byOwner = pagesByOwner(map).reduce((sum, count) => sum + count, 0);
      const byKind = Object.values(pagesByKind(map)).reduce((sum, count) => sum + count, 0);
      expect([byOwner, byKind]).toEqual([map.pages_total, map.pages_total]);
    }),
  );
});

test('says whose a page is', () => {
  expect(OWNERS.map(ownerText)).toEqual([
    'Free',
    'KV of request chatcmpl-1, acme, base model',
    'Weights of pirate, 2 running, pinned',
    'Shared prefix of pirate, found 3 times',
  ]);
});
