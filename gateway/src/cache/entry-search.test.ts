/** Entries by the words of their questions, in each store. */
import { beforeEach, expect, it } from 'vitest';
import { describeStores, document, NOW } from '../../../test/support/documents.ts';
import type { DocumentStore, ListedHead } from './documents/document-store.ts';
import { MOST_SEARCHED, searchEntries } from './entry-search.ts';

describeStores('entries by their questions', (tested) => {
  let store: DocumentStore;
  beforeEach(() => {
    store = tested.store;
  });

  /** Puts a question for each, the first the newest. */
  async function ask(questions: readonly (string | null)[], fields: object = {}) {
    const all = questions.map((question, index) =>
      document({ question, createdAt: NOW - index, tenant: 'acme', ...fields }),
    );
    await Promise.all(all.map((one) => store.put(one)));
    return all.map(({ id }) => id);
  }

  it('have all the words, in whatever case, whole or as parts', async () => {
    const [capital, , order, , umlaut] = await ask([
      'What is the Capital of Norway?',
      null,
      'Where is my order 4711?',
      'My invoice',
      'Wie groß ist die ÄRA?',
    ]);
    const found = async (...words: string[]) =>
      (await searchEntries(store, {}, words, { limit: 10 })).found.map(({ id }) => id);
    expect(await found('NORWAY', 'capital')).toEqual([capital]);
    expect(await found('is')).toEqual([capital, order, umlaut]);
    expect(await found('ära')).toEqual([umlaut]);
    expect(await found('is', 'nowhere')).toEqual([]);
    // What other languages of patterns take for any text is itself here.
    expect(await found('%')).toEqual([]);
    expect(await found('.*')).toEqual([]);
  });

  it('pass the other filters too, and are told with their questions', async () => {
    const [mine] = await ask(['Where is my order?']);
    await ask(['Where is my order?'], { tenant: 'globex' });
    const { found, last } = await searchEntries(store, { tenant: 'acme' }, ['order'], { limit: 10 });
    expect([found, last]).toMatchObject([[{ id: mine, question: 'Where is my order?' }], null]);
  });

  it('come in pages, each once, and none where there are no more', async () => {
    const ids = await ask(Array.from({ length: 230 }, (_, index) => (index % 2 === 0 ? 'even' : 'odd')));
    const pages: string[][] = [];
    for (let before: ListedHead | undefined; ; ) {
      const page = { limit: 50, ...(before === undefined ? {} : { before }) };
      const { found, last } = await searchEntries(store, {}, ['even'], page);
      pages.push(found.map(({ id }) => id));
      if (last === null) break;
      before = last;
    }
    expect(pages.map(({ length }) => length)).toEqual([50, 50, 15]);
    expect(pages.flat()).toEqual(ids.filter((_, index) => index % 2 === 0));
  });

  it('are looked for among so many at once, from where the search goes on', async () => {
    const ids = await ask(
      Array.from({ length: MOST_SEARCHED + 20 }, (_, index) =>
        index === MOST_SEARCHED + 10 ? 'a needle' : 'hay',
      ),
    );
    const first = await searchEntries(store, {}, ['needle'], { limit: 5 });
    expect(first.found).toEqual([]);
    expect(first.last?.id).toBe(ids[MOST_SEARCHED - 1]);
    const { found, last } = await searchEntries(store, {}, ['needle'], { limit: 5, before: first.last! });
    expect([found.map(({ id }) => id), last]).toEqual([[ids[MOST_SEARCHED + 10]], null]);
  });
});
