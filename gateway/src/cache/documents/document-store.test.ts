/** What is put into a store of documents, and found there. What other servers see of it, and what fails, is tested beside. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { beforeEach, expect, it } from 'vitest';
import {
  allFound,
  allHeads,
  DIMENSIONS,
  describeStores,
  document,
  listed,
  NOW,
} from '../../../../test/support/documents.ts';
import type { CacheDocument } from '../entry.ts';
import type { DocumentStore, EntryFilter } from './document-store.ts';

describeStores('documents', (tested) => {
  let store: DocumentStore;
  beforeEach(() => {
    store = tested.store;
  });

  it('gives back what was put, before and after it is written', async () => {
    const all = [
      document({ tags: ['a', 'b', 'a'] }),
      document({ vector: null, signature: null, question: null }),
      document({ signature: new Uint8Array(1), createdAt: NOW + 0.5 }),
    ];
    const written = Promise.all(all.map((one) => store.put(one)));
    for (const one of all) expect(await store.get(one.id)).toEqual(one);
    await written;
    const other = await tested.another();
    for (const one of all) {
      expect(await store.get(one.id)).toEqual(one);
      expect(await other.get(one.id)).toEqual(one);
    }
    expect(await store.get('none')).toBeNull();
  });

  it('gives what several are answered by at once, those that are there', async () => {
    const [written, gone, unwritten] = [document(), document({ signature: null }), document()];
    await Promise.all([store.put(written), store.put(gone)]);
    const bodyOf = ({ question, signature, answer }: CacheDocument) => ({ question, signature, answer });
    const other = await tested.another();
    const ids = [written.id, gone.id, unwritten.id, 'none'];
    expect(await other.bodies(ids)).toEqual(
      new Map([written, gone].map((one) => [one.id, bodyOf(one)] as const)),
    );
    const put = store.put(unwritten);
    await store.remove([gone.id]);
    const found = await store.bodies(ids);
    expect([...found.keys()].sort()).toEqual([written.id, unwritten.id].sort());
    for (const one of [written, unwritten]) expect(found.get(one.id)).toMatchObject(bodyOf(one));
    await put;
    for (const { id } of [written, unwritten, written])
      expect([...(await other.bodies([id])).keys()]).toEqual([id]);
    expect([...(await other.bodies(['none', unwritten.id])).keys()]).toEqual([unwritten.id]);
    expect([...(await other.bodies([written.id, 'none'])).keys()]).toEqual([written.id]);
    expect(await store.bodies([])).toEqual(new Map());
  });

  it('keeps a vector so that no cosine changes', async () => {
    const one = document();
    await store.put(one);
    expect((await store.get(one.id))?.vector).toEqual(one.vector);
    expect((await allHeads(store))[0]?.vector).toEqual(one.vector);
  });

  it('replaces a document whole, and keeps its hits', async () => {
    const first = document({ tags: ['old'], tenant: 'a', category: 'x' });
    await store.put(first);
    await store.addHits(new Map([[first.id, 3]]));
    const second = document({ id: first.id, tags: ['new'], tenant: 'b', createdAt: NOW + 5, vector: null });
    await store.put(second);
    expect(await store.get(first.id)).toEqual(second);
    expect(await store.find({ tag: 'old' }, { limit: 9 })).toEqual([]);
    expect(await store.find({ tenant: 'a' }, { limit: 9 })).toEqual([]);
    expect(await store.find({ category: 'x' }, { limit: 9 })).toEqual([]);
    expect(await store.find({ tag: 'new', tenant: 'b' }, { limit: 9 })).toEqual([listed(second, 3)]);
    expect(await allHeads(store)).toEqual([{ ...listed(second, 3), vector: null }]);
    const third = document({ id: first.id });
    await Promise.all([store.put(first), store.put(third)]);
    expect(await store.get(first.id)).toEqual(third);
  });

  it('removes, also what is not yet written', async () => {
    const [kept, written, unwritten] = [document(), document(), document()];
    await Promise.all([store.put(kept), store.put(written)]);
    const put = store.put(unwritten);
    await store.remove([written.id, unwritten.id, 'none']);
    await put;
    expect(await store.get(written.id)).toBeNull();
    expect(await store.get(unwritten.id)).toBeNull();
    expect(await store.get(kept.id)).toEqual(kept);
    expect((await allHeads(store)).map(({ id }) => id)).toEqual([kept.id]);
    await store.remove([]);
  });

  it('finds by all that is given, newest first, in pages', async () => {
    const all = Array.from({ length: 700 }, (_, index) =>
      document({
        ...{ tenant: `tenant ${index % 3}`, model: `model ${index % 5}`, root: `root ${index % 2}` },
        ...{ category: `category ${index % 7}`, tags: [`tag ${index % 4}`, 'every'] },
        // Many at the same time.
        createdAt: NOW + Math.floor(index / 300),
      }),
    );
    await Promise.all(all.map((one) => store.put(one)));
    const filters: EntryFilter[] = [
      {},
      { tenant: 'tenant 1' },
      { model: 'model 2' },
      { root: 'root 0' },
      { category: 'category 6' },
      { tag: 'tag 3' },
      { tag: 'every' },
      { tenant: 'tenant 2', tag: 'tag 1' },
      { tenant: 'tenant 0', model: 'model 4', root: 'root 1', category: 'category 2', tag: 'every' },
      { id: all[5]!.id },
      { id: all[5]!.id, tenant: all[5]!.tenant, tag: 'every' },
      { id: all[5]!.id, tenant: 'tenant 0' },
      { tenant: 'tenant' },
      { tag: 'tag %' },
    ];
    for (const filter of filters) {
      const wanted = all.filter(
        (one) =>
          (filter.id ?? one.id) === one.id &&
          (filter.tenant ?? one.tenant) === one.tenant &&
          (filter.model ?? one.model) === one.model &&
          (filter.root ?? one.root) === one.root &&
          (filter.category ?? one.category) === one.category &&
          (filter.tag === undefined || one.tags.includes(filter.tag)),
      );
      const found = await allFound(store, filter, 67);
      expect(new Set(found)).toEqual(new Set(wanted.map(({ id }) => id)));
      expect(found).toHaveLength(wanted.length);
      const times = found.map((id) => all.find((one) => one.id === id)!.createdAt);
      expect(times).toEqual([...times].sort((a, b) => b - a));
    }
    expect(await store.find({ id: all[5]!.id }, { limit: 1 })).toEqual([listed(all[5]!)]);
  });

  it('goes on with the next page where the last of the page before is gone', async () => {
    const all = Array.from({ length: 30 }, (_, index) => document({ createdAt: NOW - index }));
    await Promise.all(all.map((one) => store.put(one)));
    const [before] = (await store.find({}, { limit: 10 })).slice(-1);
    await store.remove(all.slice(0, 10).map(({ id }) => id));
    const next = await store.find({}, { limit: 10, before: before! });
    expect(next.map(({ id }) => id)).toEqual(all.slice(10, 20).map(({ id }) => id));
  });

  it('adds hits together, of all servers', async () => {
    const [one, two] = [document(), document()];
    await Promise.all([store.put(one), store.put(two)]);
    const other = await tested.another();
    await Promise.all([
      store.addHits(
        new Map([
          [one.id, 2],
          [two.id, 1],
          ['none', 5],
        ]),
      ),
      other.addHits(new Map([[one.id, 40]])),
    ]);
    const heads = new Map((await allHeads(store)).map(({ id, hits }) => [id, hits]));
    expect(heads).toEqual(
      new Map([
        [one.id, 42],
        [two.id, 1],
      ]),
    );
    expect(await store.get('none')).toBeNull();
  });

  it('keeps what nobody could have made up', async () => {
    const names = [
      `'; drop table cache_entry; --`,
      '"',
      '%',
      '_',
      '\\',
      '\0',
      'a\0b',
      '\ud800',
      '\udfff\ud800',
      '\ufffd',
      '',
      ' ',
      'tag:all *',
      'é',
      'e\u0301',
      '\u{1f600}',
      'x'.repeat(100_000),
      `${'x'.repeat(100_000)}y`,
    ];
    const all = names.map((name) =>
      document({
        ...{ tenant: name, model: name, root: name, category: name, tags: [name], partition: name },
        ...{ exactKey: name, question: name },
        answer: {
          choices: [{ ...document().answer.choices[0]!, text: name, stopReason: name }],
        },
      }),
    );
    await Promise.all(all.map((one) => store.put(one)));
    for (const [index, one] of all.entries()) {
      expect(await store.get(one.id)).toEqual(one);
      for (const field of ['tenant', 'model', 'root', 'category', 'tag'] as const) {
        const found = await store.find({ [field]: names[index] }, { limit: 100 });
        expect(found).toEqual([listed(one)]);
      }
      if (names[index] !== '') expect(await store.get(names[index]!)).toBeNull();
      expect(await store.find({ id: names[index]! }, { limit: 1 })).toEqual([]);
      await store.remove([names[index]!]);
      await store.addHits(new Map([[names[index]!, 1]]));
    }
    expect(await allHeads(store)).toHaveLength(names.length);
  });

  it('finds and removes among many in a moment, and holds nobody up', async () => {
    const count = 12_000;
    const vector = new Float32Array(DIMENSIONS).fill(0.05);
    const all = Array.from({ length: count }, (_, index) =>
      document({
        ...{ tenant: index % 2 === 0 ? 'half' : 'rest', tags: [`tag ${index % 10}`], vector },
        createdAt: NOW + index,
      }),
    );
    for (let begin = 0; begin < count; begin += 2_000) {
      await Promise.all(all.slice(begin, begin + 2_000).map((one) => store.put(one)));
    }
    const timed = async (work: () => Promise<unknown>): Promise<number> => {
      const begun = performance.now();
      await work();
      return performance.now() - begun;
    };
    // Each is a few milliseconds by an index.
    expect(await timed(() => store.find({ tenant: 'half' }, { limit: 100 }))).toBeLessThan(250);
    expect(await timed(() => store.find({ tag: 'tag 3' }, { limit: 100 }))).toBeLessThan(250);
    expect(await timed(() => store.get(all[77]!.id))).toBeLessThan(100);
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const [tagged, half] = await Promise.all([
      allFound(store, { tag: 'tag 3' }, 1_000),
      allFound(store, { tenant: 'half' }, 1_000),
    ]);
    expect(await timed(() => store.remove(tagged))).toBeLessThan(5_000);
    expect(await timed(() => store.remove(half))).toBeLessThan(15_000);
    delay.disable();
    expect(delay.percentile(99) / 1e6).toBeLessThan(100);
    expect(await store.find({ tag: 'tag 3' }, { limit: 1 })).toEqual([]);
    expect((await allHeads(store, 1_000)).length).toBe((count * 4) / 10);
  });
});
