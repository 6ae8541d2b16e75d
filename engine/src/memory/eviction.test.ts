import { describe, expect, it } from 'vitest';
import { RankedQueue } from '../ranked-queue.ts';
import { type Evictable, ExpectedSaving, LeastRecentlyUsed, UNRANKED } from './eviction.ts';

function entry(key: string, other: Partial<Evictable> = {}): Evictable {
  return { ...UNRANKED, key, pages: 1, seconds: 1, likelihood: 0.5, ...other };
}

/** What leaves first of these. */
function first(entries: readonly Evictable[]): string {
  const queue = new RankedQueue<Evictable>();
  for (const each of entries) queue.add(each);
  return queue.pop()!.key;
}

describe('ExpectedSaving', () => {
  it('lets what was used least recently leave first, all else being equal', () => {
    for (const policy of [new ExpectedSaving(), new LeastRecentlyUsed()]) {
      const [old, recent] = [entry('old'), entry('recent')];
      policy.use(old, 1);
      policy.use(recent, 2);
      expect(first([recent, old])).toBe('old');
    }
  });

  it('keeps what was used often, is likely to be used, costs more to bring back, or is small', () => {
    const better: readonly Partial<Evictable>[] = [{ likelihood: 0.9 }, { seconds: 3 }];
    for (const other of better) {
      const policy = new ExpectedSaving();
      const [kept, left] = [entry('kept', other), entry('left')];
      policy.use(kept, 1);
      policy.use(left, 2);
      expect(first([left, kept])).toBe('left');
    }
    const policy = new ExpectedSaving();
    const [small, large, often] = [entry('small'), entry('large', { pages: 4 }), entry('often')];
    policy.use(small, 1);
    policy.use(large, 2);
    expect(first([small, large])).toBe('large');
    for (const time of [0, 0.5, 1]) policy.use(often, time);
    large.place = -1;
    const plain = entry('plain');
    policy.use(plain, 5);
    expect(first([plain, often])).toBe('plain');
  });

  it('forgets what was popular long ago, the sooner the shorter things stay', () => {
    const stays = (seconds: number) => {
      const policy = new ExpectedSaving();
      for (let round = 0; round < 500; round++) {
        const gone = entry(`gone ${round}`);
        policy.use(gone, round);
        policy.use(entry(`new ${round}`), round + seconds);
        policy.evicted(gone);
      }
      const [popular, recent] = [entry('popular', { likelihood: 8 }), entry('recent')];
      policy.use(popular, 1000);
      policy.use(recent, 1030);
      return first([popular, recent]);
    };
    expect(stays(5)).toBe('popular');
    expect(stays(500)).toBe('recent');
  });

  it('remembers how often something was used when it comes back', () => {
    const policy = new ExpectedSaving();
    const before = entry('back', { likelihood: 0.1 });
    for (const time of [0, 1, 2, 3]) policy.use(before, time);
    policy.evicted(before);
    const [back, never] = [entry('back', { likelihood: 0.1 }), entry('never', { likelihood: 0.1 })];
    policy.use(back, 4);
    policy.use(never, 5);
    expect(first([back, never])).toBe('never');
    expect(back.uses).toBeGreaterThan(2);
  });
});
