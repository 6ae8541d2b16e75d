import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type PageKind, PagePool } from './page-pool.ts';

describe('PagePool', () => {
  it('keeps its books through any sequence of taking and giving', () => {
    const action = fc.record({
      take: fc.boolean(),
      count: fc.nat(9),
      kind: fc.constantFrom<PageKind>('kv', 'adapter'),
      which: fc.nat(),
    });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.array(action, { maxLength: 80 }), (pages, actions) => {
        const pool = new PagePool(pages);
        const held: { pages: number[]; kind: PageKind }[] = [];
        for (const { take, count, kind, which } of actions) {
          if (take) {
            const free = pool.freeCount;
            const taken = pool.take(count, kind);
            expect(taken === null).toBe(count > free);
            if (taken !== null) held.push({ pages: taken, kind });
          } else if (held.length > 0) {
            const [given] = held.splice(which % held.length, 1);
            pool.give(given!.pages, given!.kind);
          }
          pool.checkIntegrity();
          const all = held.flatMap((part) => part.pages);
          expect(new Set(all).size).toBe(all.length);
          expect(pool.freeCount).toBe(pages - all.length);
        }
      }),
    );
  });

  it('refuses a page that is given twice or as another kind', () => {
    const pool = new PagePool(4);
    const pages = pool.take(2, 'kv')!;
    expect(() => pool.give(pages, 'adapter')).toThrow('not held as adapter');
    pool.give(pages, 'kv');
    expect(() => pool.give(pages, 'kv')).toThrow('not held as kv');
  });
});
