import { describe, expect, it } from 'vitest';
import { VectorIndex, type VectorIndexOptions } from './vector-index.ts';

const WIDTH = 24;
const FOREVER = { expiresAt: Number.POSITIVE_INFINITY, tag: 0 };
const NOW = 1_000;
const ANYTHING = { threshold: -1, k: 1, now: NOW };

/** Numbers that are the same for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let bits = state;
    bits = Math.imul(bits ^ (bits >>> 15), bits | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

function vectorOf(random: () => number, width = WIDTH): Float32Array {
  const vector = Float32Array.from({ length: width }, () => random() + random() + random() - 1.5);
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

/** A vector so similar to another (0 to 1). */
function near(vector: Float32Array, similarity: number, random: () => number): Float32Array {
  const other = vectorOf(random, vector.length);
  const along = other.reduce((sum, value, index) => sum + value * vector[index]!, 0);
  const across = other.map((value, index) => value - along * vector[index]!);
  const length = Math.hypot(...across);
  const share = Math.sqrt(1 - similarity ** 2) / length;
  return vector.map((value, index) => similarity * value + share * across[index]!);
}

/** An index whose work is done when the test says so. */
function indexWith(options: Partial<VectorIndexOptions> = {}) {
  const scheduled: (() => void)[] = [];
  const warnings: string[] = [];
  const index = new VectorIndex({
    width: WIDTH,
    schedule: (work) => void scheduled.push(work),
    onWarning: (message) => void warnings.push(message),
    ...options,
  });
  const slice = () => scheduled.shift()?.();
  const settle = () => {
    while (scheduled.length > 0) slice();
  };
  return { index, slice, settle, scheduled, warnings };
}

const kinds = [
  { kind: 'a small partition', graphFrom: 1_000_000 },
  { kind: 'a partition with a graph', graphFrom: 50 },
];

describe.each(kinds)('$kind', ({ graphFrom }) => {
  /** 300 entries, `entry-0` and so on; every third is of the tag 1. */
  function filled() {
    const random = seeded(3);
    const made = indexWith({ graphFrom });
    const vectors = Array.from({ length: 300 }, () => vectorOf(random));
    for (const [number, vector] of vectors.entries()) {
      made.index.add('a', `entry-${number}`, vector, {
        expiresAt: NOW + 10 * number,
        tag: Number(number % 3 === 0),
      });
    }
    made.settle();
    return { ...made, vectors, random };
  }

  it('finds the most similar entries, best first', () => {
    const { index, vectors, random } = filled();
    for (let turn = 0; turn < 50; turn++) {
      const asked = vectorOf(random);
      const cosine = (vector: Float32Array) => vector.reduce((sum, value, i) => sum + value * asked[i]!, 0);
      const best = vectors
        .map((vector, number) => ({ id: `entry-${number}`, similarity: cosine(vector) }))
        .sort((a, b) => b.similarity - a.similarity)
        .slice(0, 3);
      const found = index.search('a', asked, { threshold: 0.2, k: 3, now: 0 });
      expect(found.map(({ similarity }) => similarity)).toEqual(
        best.map(({ similarity }) => expect.closeTo(similarity, 1.5)),
      );
      expect(found[0]!.similarity).toBeGreaterThanOrEqual(found[1]!.similarity);
      expect(best[0]!.similarity - cosine(vectors[Number(found[0]!.id.slice(6))]!)).toBeLessThan(0.02);
    }
  });

  it('finds an entry by its own vector, with a similarity of exactly 1', () => {
    const { index, vectors } = filled();
    for (const [number, vector] of vectors.entries()) {
      expect(index.search('a', vector, { threshold: 1, k: 1, now: 0 })).toEqual([
        { id: `entry-${number}`, similarity: 1 },
      ]);
    }
  });

  it('leaves out what is less similar than the threshold', () => {
    const { index, vectors, random } = filled();
    const asked = near(vectors[7]!, 0.9, random);
    expect(index.search('a', asked, { threshold: 0.89, k: 1, now: 0 })).toMatchObject([{ id: 'entry-7' }]);
    expect(index.search('a', asked, { threshold: 0.91, k: 1, now: 0 })).toEqual([]);
  });

  it('leaves out what has expired', () => {
    const { index, vectors } = filled();
    const asked = { threshold: 0.999, k: 1, now: NOW + 100 };
    expect(index.search('a', vectors[10]!, asked)).toEqual([]);
    expect(index.search('a', vectors[11]!, asked)).toHaveLength(1);
  });

  it('leaves out what is not accepted, and goes on until something is', () => {
    const { index, vectors } = filled();
    const live = { threshold: -1, k: 2, now: 0 };
    const found = index.search('a', vectors[7]!, { ...live, accept: (_, tag) => tag === 1 });
    expect(found).toHaveLength(2);
    for (const { id } of found) expect(index.get(id)?.tag).toBe(1);
    // The least similar of all: everything else has to be passed over.
    const [last] = index.search('a', vectors[7]!, { ...live, k: 300 }).slice(-1);
    expect(index.search('a', vectors[7]!, { ...live, accept: (id) => id === last!.id })).toEqual([last]);
    expect(index.search('a', vectors[7]!, { ...live, accept: () => false })).toEqual([]);
  });

  it('does not find what was removed', () => {
    const { index, vectors, settle } = filled();
    expect(index.remove('entry-5')).toBe(true);
    expect(index.remove('entry-5')).toBe(false);
    expect(index.size).toBe(299);
    expect(index.get('entry-5')).toBeNull();
    expect(index.vectorOf('entry-5')).toBeNull();
    const asked = { threshold: 0.999, k: 1, now: 0 };
    expect(index.search('a', vectors[5]!, asked)).toEqual([]);
    // Another entry in its place.
    index.add('b', 'entry-300', vectors[5]!, FOREVER);
    settle();
    expect(index.search('a', vectors[5]!, asked)).toEqual([]);
    expect(index.search('b', vectors[5]!, asked)).toEqual([{ id: 'entry-300', similarity: 1 }]);
  });

  it('replaces an entry of the same id', () => {
    const { index, vectors, random, settle } = filled();
    const other = vectorOf(random);
    index.add('b', 'entry-5', other, FOREVER);
    settle();
    expect(index.size).toBe(300);
    expect(index.search('a', vectors[5]!, { threshold: 0.999, k: 1, now: 0 })).toEqual([]);
    expect(index.search('b', other, { threshold: 0.999, k: 1, now: 0 })).toEqual([
      { id: 'entry-5', similarity: 1 },
    ]);
  });

  it('gives entries and vectors that make the same index again', () => {
    const { index, random } = filled();
    const again = indexWith({ graphFrom });
    for (const { partition, id, expiresAt, tag } of index.entries()) {
      again.index.add(partition, id, index.vectorOf(id)!, { expiresAt, tag });
    }
    again.settle();
    expect([...again.index.entries()].map(({ id, expiresAt, tag }) => [id, expiresAt, tag])).toEqual(
      [...index.entries()].map(({ id, expiresAt, tag }) => [id, expiresAt, tag]),
    );
    const asked = vectorOf(random);
    const wanted = { threshold: -1, k: 300, now: 0 };
    expect(again.index.search('a', asked, wanted)).toEqual(index.search('a', asked, wanted));
  });

  it('takes no memory when it is empty', () => {
    const { index, settle } = filled();
    expect(index.bytes).toBeGreaterThan(300 * WIDTH);
    for (const { id } of [...index.entries()]) index.remove(id);
    settle();
    expect([index.size, index.bytes]).toEqual([0, 0]);
    expect(index.search('a', vectorOf(seeded(1)), ANYTHING)).toEqual([]);
  });

  it('finds each of many entries with the same vector', () => {
    const { index, settle } = indexWith({ graphFrom });
    const vector = vectorOf(seeded(8));
    for (let number = 0; number < 200; number++) index.add('a', `entry-${number}`, vector, FOREVER);
    settle();
    for (let number = 0; number < 200; number++) {
      const accept = (id: string) => id === `entry-${number}`;
      expect(index.search('a', vector, { ...ANYTHING, accept })).toEqual([
        { id: `entry-${number}`, similarity: 1 },
      ]);
    }
  });
});

describe('VectorIndex', () => {
  it('refuses vectors that cannot be compared and keeps what it has', () => {
    const { index } = indexWith();
    const vector = vectorOf(seeded(1));
    index.add('a', 'x', vector, FOREVER);
    expect(() => index.add('a', 'x', vector.subarray(1), FOREVER)).toThrow('24 numbers here, not 23');
    expect(() => index.add('a', 'x', vector.with(3, Number.NaN), FOREVER)).toThrow('number 3');
    expect(() => index.search('a', vector.subarray(1), ANYTHING)).toThrow('24 numbers here, not 23');
    expect(() => index.search('a', vector, { ...ANYTHING, threshold: Number.NaN })).toThrow('threshold');
    expect(index.search('a', vector, ANYTHING)).toEqual([{ id: 'x', similarity: 1 }]);
    expect(() => indexWith({ width: 0 })).toThrow('not 0');
  });

  it('makes graphs in slices, and finds everything meanwhile', () => {
    const random = seeded(4);
    const { index, slice, scheduled } = indexWith({ graphFrom: 500 });
    const vectors = Array.from({ length: 2_000 }, () => vectorOf(random));
    for (const [number, vector] of vectors.entries()) index.add('a', `${number}`, vector, FOREVER);
    expect(scheduled).toHaveLength(1);
    let slices = 0;
    for (; scheduled.length > 0; slices++) {
      slice();
      const number = Math.floor(random() * vectors.length);
      expect(index.search('a', vectors[number]!, ANYTHING)[0]?.id).toBe(`${number}`);
    }
    expect(slices).toBeGreaterThan(5);
  });

  it('makes a graph anew when much of it was removed', () => {
    const random = seeded(5);
    const { index, slice, settle, scheduled } = indexWith({ graphFrom: 100 });
    const vectors = Array.from({ length: 2_000 }, () => vectorOf(random));
    for (const [number, vector] of vectors.entries()) index.add('a', `${number}`, vector, FOREVER);
    settle();
    const full = index.bytes;
    for (let number = 0; number < 1_000; number++) index.remove(`${number}`);
    expect(scheduled).toHaveLength(1);
    for (let turn = 0; scheduled.length > 0; turn++) {
      slice();
      // Some come and some go meanwhile.
      if (turn < 40) {
        index.remove(`${1_999 - turn}`);
        index.add('a', `new-${turn}`, vectors[turn]!, FOREVER);
      }
    }
    expect(index.bytes).toBeLessThan(0.8 * full);
    for (let number = 0; number < 2_000; number++) {
      const id = number < 40 ? `new-${number}` : `${number}`;
      const isThere = number < 40 || (number >= 1_000 && number < 1_960);
      const found = index.search('a', vectors[number]!, { threshold: 1, k: 1, now: NOW });
      expect(found.map((similar) => similar.id)).toEqual(isThere ? [id] : []);
    }
  });

  it('does without a graph where there is none, or where it fails', () => {
    const random = seeded(6);
    const broken = {
      Index: class {
        add(): void {
          throw new Error('no memory');
        }
        search(): never {
          throw new Error('no memory');
        }
      },
    };
    for (const usearch of [null, broken]) {
      const { index, settle, warnings } = indexWith({ graphFrom: 10, usearch });
      const vectors = Array.from({ length: 100 }, () => vectorOf(random));
      for (const [number, vector] of vectors.entries()) index.add('a', `${number}`, vector, FOREVER);
      settle();
      expect(warnings).toHaveLength(usearch === null ? 0 : 1);
      for (const [number, vector] of vectors.entries()) {
        expect(index.search('a', vector, ANYTHING)[0]?.id).toBe(`${number}`);
      }
    }
  });
});

describe('after 100,000 random additions and removals', () => {
  const OPERATIONS = 100_000;
  /** One of them has two thirds of the entries, and a graph; the others have a few each. */
  const PARTITIONS = 300;
  const LIVE = 5_000;

  it('finds every entry by its own vector, nothing that was removed, and nothing of another partition', () => {
    const random = seeded(2026);
    const { index, slice, settle } = indexWith({ graphFrom: 1_000 });
    interface Model {
      readonly id: string;
      readonly partition: string;
      readonly vector: Float32Array;
    }
    const live: Model[] = [];
    const removed: Model[] = [];
    const partitionOf = new Map<string, string>();
    const drawn = (models: readonly Model[]) => models[Math.floor(random() * models.length)];
    /** Looks for a model's vector in its partition. What is not there any more has no partition. */
    const check = ({ id, partition, vector }: Model) => {
      const found = index.search(partition, vector, { threshold: 0.7, k: 20, now: NOW });
      const wrong = found.find((similar) => partitionOf.get(similar.id) !== partition);
      if (wrong !== undefined) throw new Error(`${wrong.id} was found in ${partition}`);
      const isFound = found.some((similar) => similar.id === id && similar.similarity === 1);
      if (partitionOf.has(id) && !isFound) throw new Error(`${id} was not found by its own vector`);
    };
    for (let operation = 0; operation < OPERATIONS; operation++) {
      if (live.length > 0 && random() < (live.length < LIVE ? 0.4 : 0.55)) {
        const place = Math.floor(random() * live.length);
        const gone = live[place]!;
        live[place] = live.at(-1)!;
        live.pop();
        removed.push(gone);
        partitionOf.delete(gone.id);
        expect(index.remove(gone.id)).toBe(true);
      } else {
        const partition = random() < 0.67 ? 'p0' : `p${Math.floor(random() * PARTITIONS)}`;
        // Some repeat a vector, of any partition, or one that was removed.
        const repeated = random() < 0.05 ? drawn(random() < 0.5 ? live : removed)?.vector : undefined;
        const added: Model = { id: `e${operation}`, partition, vector: repeated ?? vectorOf(random) };
        index.add(partition, added.id, added.vector, FOREVER);
        live.push(added);
        partitionOf.set(added.id, partition);
      }
      // Now and then there is time for a slice.
      if (random() < 0.08) slice();
      if (random() < 0.05) for (const model of [drawn(live), drawn(removed)]) if (model) check(model);
    }
    expect(live.length).toBeGreaterThan(0.9 * LIVE);
    for (const model of live) check(model);
    settle();
    expect(index.size).toBe(live.length);
    for (const model of live) check(model);
    for (const model of removed.slice(-10_000)) check(model);
  });
});
