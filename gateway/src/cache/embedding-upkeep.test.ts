import type { Embedder, Embedding, EmbedRequest, EncoderInfo } from '@polylora/engine';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { startEmbedder } from '../../../test/support/embedder.ts';
import { createLogger } from '../logging.ts';
import { CategoryTable } from './categories/category-table.ts';
import { EmbeddingUpkeep } from './embedding-upkeep.ts';

const SYMPTOMS = 'What are the symptoms of appendicitis?';
const PARCELS = Array.from({ length: 10 }, (_, index) => `Where is my parcel number ${index}?`);

/** The embedding model, which fails where it is told to. */
class UnreliableEmbedder implements Embedder {
  readonly #embedder: Embedder;
  isFailing = false;
  /** Texts that were asked for. */
  asked: string[] = [];

  constructor(embedder: Embedder) {
    this.#embedder = embedder;
  }

  get model(): EncoderInfo | null {
    return this.isFailing ? null : this.#embedder.model;
  }

  async load(): Promise<EncoderInfo> {
    if (this.isFailing) throw new Error('it cannot be fetched');
    return this.#embedder.load();
  }

  async embed(request: EmbedRequest): Promise<readonly Embedding[]> {
    if (this.isFailing) throw new Error('too much waits');
    this.asked.push(...(request.inputs as string[]));
    return this.#embedder.embed(request);
  }

  stats() {
    return this.#embedder.stats();
  }

  async close(): Promise<void> {}
}

let real: Embedder;
let embedder: UnreliableEmbedder;
let categories: CategoryTable;
let upkeep: EmbeddingUpkeep;
let loads: number;

beforeAll(async () => {
  real = await startEmbedder('int8');
  await real.load();
}, 120_000);
afterAll(() => real.close());
beforeEach(() => {
  embedder = new UnreliableEmbedder(real);
  categories = new CategoryTable();
  loads = 0;
  upkeep = new EmbeddingUpkeep({
    ...{ embedder, categories, logger: createLogger('silent'), pauseMilliseconds: 10 },
    onLoaded: async () => {
      loads += 1;
    },
  });
});
afterEach(() => upkeep.close());

const ready = () => expect.poll(() => categories.isClassifierCurrent, { timeout: 20_000 }).toBe(true);

async function categoryOf(text: string): Promise<string> {
  const [embedding] = await real.embed({ inputs: [text], truncate: 'model' });
  return categories.of(embedding?.vector ?? null).name;
}

it('loads the model again until that can be done, and tells what it has come to', async () => {
  embedder.isFailing = true;
  expect(upkeep.state).toBe('loading');
  upkeep.update();
  await upkeep.tried;
  expect([upkeep.state, categories.isReady]).toEqual(['failing', false]);
  embedder.isFailing = false;
  await ready();
  expect([upkeep.state, loads]).toEqual(['ready', 1]);
  expect(await categoryOf(SYMPTOMS)).toBe('medical');
});

it('tells questions apart by the former examples until the new ones are embedded, which fails and is tried again', async () => {
  upkeep.update();
  await ready();
  embedder.isFailing = true;
  const examples = PARCELS;
  categories.configure({ support: { examples } });
  upkeep.update();
  upkeep.update();
  await expect.poll(() => upkeep.state).toBe('ready');
  expect(await categoryOf(SYMPTOMS)).toBe('medical');
  // What else is configured of a category holds at once.
  categories.configure({ support: { examples }, medical: { enabled: true } });
  expect(categories.get(await categoryOf(SYMPTOMS)).enabled).toBe(true);
  embedder.isFailing = false;
  embedder.asked = [];
  await ready();
  // Those that stayed as they were are not embedded again.
  expect(embedder.asked.sort()).toEqual([...examples].sort());
});

it('nobody can tell a category that has come, or is never cached, as long as its examples are not known', async () => {
  upkeep.update();
  await ready();
  embedder.isFailing = true;
  for (const own of [
    { parcels: { enabled: false, examples: PARCELS } },
    { parcels: { examples: PARCELS } },
    { medical: { examples: PARCELS } },
  ]) {
    categories.configure(own);
    upkeep.update();
    await expect.poll(() => upkeep.state).toBe('failing');
    expect(categories.isReady).toBe(false);
  }
  categories.configure({});
  expect([categories.isReady, categories.isClassifierCurrent]).toEqual([true, true]);
  categories.configure({ parcels: { enabled: false, examples: PARCELS } });
  embedder.isFailing = false;
  upkeep.update();
  await ready();
  expect(await categoryOf('Where is my parcel number 42?')).toBe('parcels');
});

it('what is configured while examples are embedded counts in the end, and a category that is gone is no answer', async () => {
  upkeep.update();
  categories.configure({ parcels: { examples: PARCELS } });
  upkeep.update();
  await ready();
  expect(await categoryOf('Where is my parcel number 42?')).toBe('parcels');
  categories.configure({});
  expect(categories.isReady).toBe(true);
  expect(await categoryOf('Where is my parcel number 42?')).not.toBe('parcels');
});
