/** What several servers of one store see of each other. */
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, expect, it, vi } from 'vitest';
import { allHeads, describeStores, document, listed, NOW } from '../../../../test/support/documents.ts';
import type { DocumentChange, DocumentStore } from './document-store.ts';

/** Reads changes from a number on, as a server does. */
class Reader {
  readonly changes: DocumentChange[] = [];
  readonly there = new Set<string>();
  readonly #store: DocumentStore;
  readonly #limit: number;
  #after: number;

  constructor(store: DocumentStore, after: number, limit = 50) {
    this.#store = store;
    this.#after = after;
    this.#limit = limit;
  }

  async read(): Promise<void> {
    for (;;) {
      const some = await this.#store.changes(this.#after, this.#limit);
      if (some === null) throw new Error('changes are forgotten');
      for (const change of some) {
        expect(change.sequence).toBeGreaterThan(this.#after);
        this.#after = change.sequence;
        this.changes.push(change);
        if (change.kind === 'put') this.there.add(change.head.id);
        else this.there.delete(change.id);
      }
      if (some.length < this.#limit) return;
    }
  }
}

describeStores('changes of documents', (tested) => {
  let store: DocumentStore;
  beforeEach(() => {
    store = tested.store;
  });

  it('gives all heads while others are put, replaced and removed', async () => {
    const steady = Array.from({ length: 400 }, () => document());
    const fleeting = Array.from({ length: 100 }, () => document());
    await Promise.all([...steady, ...fleeting].map((one) => store.put(one)));
    const other = await tested.another();
    let isOver = false;
    const changing = (async () => {
      for (let round = 0; !isOver; round++) {
        const replaced = steady.slice((round * 40) % 400).slice(0, 40);
        await Promise.all([...replaced, document()].map((one) => other.put(one)));
        await other.remove(
          fleeting
            .slice(round * 10)
            .slice(0, 10)
            .map(({ id }) => id),
        );
      }
    })();
    for (let round = 0; round < 5; round++) {
      const ids = new Set<string>();
      let cursor: string | null = null;
      do {
        const page: Awaited<ReturnType<DocumentStore['heads']>> = await store.heads(cursor, 30);
        for (const { id } of page.heads) ids.add(id);
        cursor = page.cursor;
        await sleep(5);
      } while (cursor !== null);
      expect(steady.filter(({ id }) => !ids.has(id))).toEqual([]);
    }
    isOver = true;
    await changing;
  });

  it('tells other servers what was put and removed, in order', async () => {
    const other = await tested.another();
    const before = document({ tags: ['x'] });
    await store.put(before);
    const reader = new Reader(other, await other.lastSequence());
    await reader.read();
    expect(reader.changes).toEqual([]);
    const [first, second] = [document(), document({ vector: null })];
    await store.put(first);
    await store.put(second);
    await store.remove([before.id]);
    await reader.read();
    expect(reader.changes.map(({ sequence, ...change }) => change)).toEqual([
      { kind: 'put', head: { ...listed(first), vector: first.vector } },
      { kind: 'put', head: { ...listed(second), vector: null } },
      { kind: 'remove', id: before.id },
    ]);
    await store.remove([first.id]);
    await store.put(first);
    await store.remove([second.id]);
    await store.addHits(new Map([[first.id, 1]]));
    await reader.read();
    expect([...reader.there]).toEqual([first.id]);
    expect(await other.lastSequence()).toBe(reader.changes.at(-1)?.sequence);
  });

  it('tells every change of eight servers that write at once', async () => {
    const servers = await Promise.all(Array.from({ length: 8 }, () => tested.another()));
    const readers = await Promise.all(
      [3, 1000].map(async (limit) => {
        const one = await tested.another();
        return new Reader(one, await one.lastSequence(), limit);
      }),
    );
    let isOver = false;
    const reading = readers.map(async (reader) => {
      while (!isOver) await reader.read();
      await reader.read();
    });
    const kept = await Promise.all(
      servers.map(async (server) => {
        const ids: string[] = [];
        for (let round = 0; round < 12; round++) {
          const some = Array.from({ length: 9 }, () => document({ vector: null }));
          await Promise.all(some.map((one) => server.put(one)));
          const [gone = '', ...others] = some.map(({ id }) => id);
          await server.remove([gone]);
          ids.push(...others);
        }
        return ids;
      }),
    );
    isOver = true;
    await Promise.all(reading);
    const wanted = kept.flat().sort();
    expect((await allHeads(store)).map(({ id }) => id).sort()).toEqual(wanted);
    for (const { there } of readers) expect([...there].sort()).toEqual(wanted);
  });

  it('says so where a number is not one of its own', async () => {
    await store.put(document());
    const last = await store.lastSequence();
    expect(await store.changes(last, 10)).toEqual([]);
    expect(await store.changes(last + 1, 10)).toBeNull();
  });

  it('sweeps what has expired, and tells of it', async () => {
    const old = Array.from({ length: 600 }, () => document({ expiresAt: NOW + 1_000 }));
    const young = document({ expiresAt: NOW + 2_000 });
    await Promise.all([...old, young].map((one) => store.put(one)));
    const other = await tested.another();
    const reader = new Reader(other, await other.lastSequence(), 1000);
    expect(await store.sweep(NOW + 999)).toBe(0);
    expect(await store.sweep(NOW + 1_000)).toBe(600);
    await reader.read();
    expect(reader.changes).toHaveLength(600);
    expect((await allHeads(store)).map(({ id }) => id)).toEqual([young.id]);
    expect(await store.find({ tenant: 'acme' }, { limit: 1000 })).toHaveLength(1);
  });

  it('forgets old removals, and says so to who has not read them', async () => {
    const [gone, kept] = [document(), document()];
    await Promise.all([store.put(gone), store.put(kept)]);
    const before = await store.lastSequence();
    await store.remove([gone.id]);
    await store.sweep(NOW);
    expect(await store.changes(before, 10)).toMatchObject([{ kind: 'remove', id: gone.id }]);
    const removed = await store.lastSequence();
    await tested.kind.passHours(tested.location, 2);
    await store.put(document());
    vi.restoreAllMocks();
    await store.sweep(NOW);
    expect(await store.changes(before, 10)).toBeNull();
    expect(await store.changes(removed, 10)).toMatchObject([{ kind: 'put' }]);
    expect(await allHeads(store)).toHaveLength(2);
  });
});
