import { describe, expect, it } from 'vitest';
import { RankedQueue } from '../ranked-queue.ts';
import { type Evictable, ExpectedSaving } from './eviction.ts';
import { PagePool } from './page-pool.ts';
import { type PrefixBlock, PrefixCache } from './prefix-cache.ts';

function prefixCache() {
  const pool = new PagePool(100);
  const cache = new PrefixCache(pool, new ExpectedSaving(), new RankedQueue<Evictable>());
  /** Publishes a chain of blocks, one after the other, behind others. */
  const publish = (
    keys: readonly string[],
    parent: PrefixBlock | null = null,
    adapter: string | null = null,
  ) => {
    const blocks: PrefixBlock[] = [];
    for (const key of keys) {
      const [page] = pool.take(1, 'kv')!;
      const owner = { tenant: 'acme', adapter };
      blocks.push(cache.publish(key, blocks.at(-1) ?? parent, owner, page!, 1, 'prompt', 0));
    }
    return blocks;
  };
  return { cache, pool, publish };
}

describe('PrefixCache', () => {
  it('tells all of what goes on from something shared from what nothing was shared of', () => {
    const { cache, publish } = prefixCache();
    const [system] = publish(['system']);
    expect(system!.branch).toBe(false);
    const again = cache.acquire('system', 1);
    expect(publish(['question', 'more'], again).map(({ branch }) => branch)).toEqual([true, true]);
    expect(publish(['document', 'end']).map(({ branch }) => branch)).toEqual([false, false]);
  });

  it('lets go of all that was computed with an adapter, and of nothing else', () => {
    const { cache, pool, publish } = prefixCache();
    const gone = publish(['a1', 'a2', 'a3'], null, 'a');
    const branch = publish(['a4'], gone[0]!, 'a');
    const kept = publish(['b1', 'b2'], null, 'b');
    for (const block of [...branch, ...gone.toReversed(), ...kept.toReversed()]) cache.release(block);
    const used = cache.acquire('a1', 1);
    cache.drop('a');
    cache.checkIntegrity();
    expect(cache.size).toBe(3);
    cache.release(used);
    cache.drop('a');
    cache.checkIntegrity();
    expect(cache.size).toBe(2);
    expect(pool.count('prefix')).toBe(2);
    expect(cache.longest((index) => ['b1', 'b2'][index]!, 2)).toBe(2);
  });

  it('learns which of them come to be used again', () => {
    const { cache, publish } = prefixCache();
    publish(['system']);
    const system = cache.acquire('system', 1);
    for (let turn = 0; turn < 10; turn++) {
      publish([`document ${turn}`]);
      publish([`question ${turn}`], system);
      cache.acquire(`question ${turn}`, turn + 2);
    }
    const [question] = publish(['another question'], system);
    const [document] = publish(['another document']);
    expect(question!.likelihood).toBeGreaterThan(0.8);
    expect(document!.likelihood).toBeLessThan(0.3);
  });
});
