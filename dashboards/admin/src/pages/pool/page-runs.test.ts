import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PoolMap, PoolOwner } from '../../api/types.ts';
import {
  cellOf,
  cellText,
  decodeRuns,
  ownerOfCell,
  ownerText,
  pagesByKind,
  pagesByOwner,
} from './page-runs.ts';

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

describe('a cell of several pages', () => {
  // Free, free, the adapter's; a sequence's and a prefix's; free.
  const map = mapOf([
    [0, 2],
    [2, 2],
    [1, 1],
    [3, 3],
    [0, 2],
  ]);
  const pages = decodeRuns(map);
  const cells = [0, 4, 9].map((page) => cellOf(page, 4, pages.length));

  test('has the pages that follow each other, the last as many as are left', () => {
    expect(cells).toEqual([
      { first: 0, last: 3 },
      { first: 4, last: 7 },
      { first: 8, last: 9 },
    ]);
    expect(cellOf(7, 4, 10)).toEqual(cells[1]);
    expect(cellOf(7, 1, 10)).toEqual({ first: 7, last: 7 });
  });

  test('is told of as it is coloured: by the first of its pages that is used', () => {
    expect(cells.map((cell) => OWNERS[ownerOfCell(map, pages, cell)]?.kind)).toEqual([
      'adapter',
      'kv',
      'free',
    ]);
    expect(cells.map((cell) => cellText(map, pages, cell))).toEqual([
      'Pages 0 to 3: Weights of pirate, 2 running, pinned, in 2 of these 4',
      'Pages 4 to 7: KV of request chatcmpl-1, acme, base model, in 1 of these 4',
      'Pages 8 to 9: Free',
    ]);
    expect(cellText(map, pages, cellOf(4, 1, 10))).toBe('Page 4: KV of request chatcmpl-1, acme, base model');
  });
});
