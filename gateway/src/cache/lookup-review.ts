import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Embedding } from '@polylora/engine';
import type { Ring } from '../ring.ts';
import { type Category, type CategoryValues, withValues } from './categories/category.ts';
import type { CategoryTable, Effective } from './categories/category-table.ts';
import type { CacheControls } from './controls.ts';
import type { DocumentBody, DocumentStore } from './documents/document-store.ts';
import type { Entries, Entry } from './entries.ts';
import type { KeptEntries } from './kept-entries.ts';
import { isEnough, isVerified, type Likeness, leastSimilarity, type Needed, neededOf } from './likeness.ts';
import type { Question } from './question.ts';
import type { Probe, Verifier } from './verification/verifier.ts';

/** Candidates whose documents are read and verified, the nearest first. */
export const MOST_CANDIDATES = 3;
/** Of an explanation. */
const MOST_EXPLAINED = 10;
/** Circumstances in which a question is looked for, those of the newest entries. */
const MOST_PARTITIONS = 1_000;
/** Entries that are looked at before others have their turn. */
const TOGETHER = 1_000;

/** A question that was looked for among similar ones. */
export interface Lookup {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly question: Question;
  readonly controls: CacheControls;
  readonly category: string;
  readonly embedding: Embedding;
}

/** What a question is, for an explanation. */
export interface Explaining {
  readonly text: string;
  /** With its signature. */
  readonly embedding: Embedding;
  readonly category: Category;
  /** Those of a request that names a category are of that one alone. */
  readonly controls: CacheControls;
  /** Whose entries; null: all tenants'. */
  readonly tenant: string | null;
  /** Entries of this model, as it was asked for; null: of all. */
  readonly model: string | null;
}

/** An entry that is near a question, and whether its answer would be given to it. */
export interface Candidate extends Likeness {
  readonly entry: Entry;
  /** As it was asked; null where the store does not have it any more. */
  readonly question: string | null;
  readonly isHit: boolean;
  readonly because: string;
}

/** Of an entry that is near a question that was looked for. */
interface Near extends Likeness {
  readonly category: string;
}

export interface LookupReviewOptions {
  readonly categories: CategoryTable;
  readonly documents: DocumentStore;
  readonly verifier: Verifier | null;
  readonly entries: Entries;
  readonly kept: KeptEntries;
  readonly lookups: Ring<Lookup>;
  /** Whether a request may be given an entry's answer, whatever its question. */
  readonly isAcceptable: (id: string, controls: CacheControls) => boolean;
}

/** What questions find, and why, for people who look after the cache: by the same rules as requests, but beside them. */
export class LookupReview {
  readonly #options: LookupReviewOptions;
  /** What is near a lookup's question is found out when it is first asked for. */
  readonly #near = new WeakMap<Lookup, Promise<readonly Near[]>>();

  constructor(options: LookupReviewOptions) {
    this.#options = options;
  }

  /** Least cosine that a question of a category needs now, by its own rules. */
  leastSimilarity(effective: Effective): number {
    return leastSimilarity(effective, this.#hasVerifier);
  }

  /**
   * The entries that are nearest to a question, the nearest first, in whatever circumstances they were asked: each as if the question were
   * asked in the same ones (conversation, parameters, adapter). In each only the first hit is one.
   */
  async explain({ text, embedding, category, controls, tenant, model }: Explaining): Promise<Candidate[]> {
    const { verifier, isAcceptable } = this.#options;
    const effective = this.#options.categories.effective(category);
    const accept = (id: string) => isAcceptable(id, controls);
    const found: Found[] = [];
    for (const partition of await this.#partitions(tenant, model))
      found.push(...this.#search(partition, embedding.vector, accept));
    const nearest = found.sort((a, b) => b.similarity - a.similarity).slice(0, MOST_EXPLAINED);
    const bodies = await this.#bodies(nearest.map(({ entry }) => entry.id));
    const probe = verifier?.read(text) ?? null;
    const answered = new Set<string>();
    return nearest.map(({ entry, similarity }) => {
      const body = bodies.get(entry.id) ?? null;
      const probability = this.#probability(probe, embedding, body, similarity);
      const likeness = { similarity, probability };
      const needed = this.#needed(effective, entry.category, controls.similarityThreshold);
      const asksModel = category.askModel || this.#options.categories.get(entry.category).askModel;
      const wouldHit = body !== null && category.enabled && isEnough(likeness, needed);
      const isFirst = !answered.has(entry.partition);
      if (wouldHit) answered.add(entry.partition);
      const because =
        isFirst || !wouldHit ? this.#because(likeness, needed, body, category, asksModel) : NEARER;
      return { entry, ...likeness, question: body?.question ?? null, isHit: wouldHit && isFirst, because };
    });
  }

  /**
   * How many of the questions of a category that were lately looked for are answered by the category as it is now, and how many would be
   * with other values: by the entries that were there then, and still are. What the base model is asked beside is left out.
   *
   * @param tenant whose questions; null: all tenants'
   */
  async preview(
    category: Category,
    values: Pick<CategoryValues, 'similarityThreshold' | 'verifyFrom' | 'strictness'>,
    tenant: string | null,
  ): Promise<{ readonly lookups: number; readonly hitsNow: number; readonly hitsThen: number }> {
    const { categories, lookups } = this.#options;
    const now = categories.effective(category);
    const then = categories.effective(withValues(category, values));
    let [seen, hitsNow, hitsThen] = [0, 0, 0];
    for (const lookup of lookups.newest()) {
      const { question, controls } = lookup;
      if (lookup.category !== category.name || (tenant !== null && question.tenant !== tenant)) continue;
      const near = await this.#nearOf(lookup);
      const isHit = (asked: Effective) =>
        near.some((each) => {
          const own = each.category === category.name ? asked : this.#effective(each.category);
          return isEnough(each, neededOf(asked, own, this.#hasVerifier, controls.similarityThreshold));
        });
      seen += 1;
      if (isHit(now)) hitsNow += 1;
      if (isHit(then)) hitsThen += 1;
    }
    return { lookups: seen, hitsNow, hitsThen };
  }

  get #hasVerifier(): boolean {
    return this.#options.verifier !== null;
  }

  #effective(category: string): Effective {
    const { categories } = this.#options;
    return categories.effective(categories.get(category));
  }

  #needed(asked: Effective, category: string, least: number): Needed {
    return neededOf(asked, this.#effective(category), this.#hasVerifier, least);
  }

  #nearOf(lookup: Lookup): Promise<readonly Near[]> {
    const known = this.#near.get(lookup);
    if (known !== undefined) return known;
    const found = this.#findNear(lookup);
    this.#near.set(lookup, found);
    // The store may be there the next time.
    found.catch(() => this.#near.delete(lookup));
    return found;
  }

  async #findNear({ at, question, controls, embedding }: Lookup): Promise<readonly Near[]> {
    const { entries, verifier, isAcceptable } = this.#options;
    // Its own answer was not there yet, nor were later ones.
    const accept = (id: string) => (entries.get(id)?.createdAt ?? at) < at && isAcceptable(id, controls);
    const found = this.#search(question.partition, embedding.vector, accept);
    if (found.length === 0) return [];
    await nextTurn();
    const bodies = await this.#options.documents.bodies(found.map(({ entry }) => entry.id));
    const probe = question.text === null ? null : (verifier?.read(question.text) ?? null);
    return found.flatMap(({ entry, similarity }) => {
      const body = bodies.get(entry.id);
      if (body === undefined) return [];
      const probability = this.#probability(probe, embedding, body, similarity);
      return [{ category: entry.category, similarity, probability }];
    });
  }

  #search(partition: string, vector: Float32Array, accept: (id: string) => boolean): Found[] {
    const { kept, entries } = this.#options;
    // However far: what is too far is told, or would be near enough by other values.
    const query = { threshold: 0, k: MOST_CANDIDATES, now: 0, accept };
    const found = kept.vectors?.index.search(partition, vector, query) ?? [];
    return found.flatMap(({ id, similarity }) => {
      const entry = entries.get(id);
      return entry === null ? [] : [{ entry, similarity }];
    });
  }

  #probability(
    probe: Probe | null,
    { signature }: Embedding,
    body: DocumentBody | null,
    similarity: number,
  ): number | null {
    const { verifier } = this.#options;
    if (verifier === null || probe === null || body === null || body.question === null) return null;
    return verifier.verify(probe, signature, { text: body.question, signature: body.signature }, similarity);
  }

  async #bodies(ids: readonly string[]): Promise<ReadonlyMap<string, DocumentBody>> {
    return ids.length === 0 ? new Map() : this.#options.documents.bodies(ids);
  }

  /** Circumstances in which somebody has asked something, those of the newest entries. */
  async #partitions(tenant: string | null, model: string | null): Promise<Iterable<string>> {
    const partitions = new Set<string>();
    let looked = 0;
    for (const entry of this.#options.entries.values()) {
      if (++looked % TOGETHER === 0) await nextTurn();
      if ((tenant !== null && entry.tenant !== tenant) || (model !== null && entry.model !== model)) continue;
      // Those that were added last are at the end.
      partitions.delete(entry.partition);
      partitions.add(entry.partition);
      if (partitions.size <= MOST_PARTITIONS) continue;
      const [oldest = ''] = partitions;
      partitions.delete(oldest);
    }
    return partitions;
  }

  #because(
    { similarity, probability }: Likeness,
    needed: Needed,
    body: DocumentBody | null,
    { name, enabled }: Category,
    asksModel: boolean,
  ): string {
    if (!enabled) return `Questions of '${name}' are not answered from the cache.`;
    if (body === null) return "The cache's store does not have it any more.";
    const near = `${similarity.toFixed(3)} of ${needed.similarity.toFixed(3)}`;
    if (similarity < needed.similarity) return `It is not near enough: ${near}.`;
    if (needed.strictness === 0)
      return asked(`It is near enough: ${near}. Verification is not asked.`, asksModel);
    if (!this.#hasVerifier)
      return "It is near enough, but nothing can verify it: the embedding model is not the one that verification knows, or 'strictness' would have to be 0.";
    const sure = `${(probability ?? 0).toFixed(2)} of ${needed.strictness.toFixed(2)}`;
    return isVerified(probability, needed)
      ? asked(`It is near enough (${near}), and verified to ask for the same (${sure}).`, asksModel)
      : `It is near enough (${near}), but verification doubts that it asks for the same: ${sure}.`;
  }
}

interface Found {
  readonly entry: Entry;
  readonly similarity: number;
}

const NEARER = 'It would do, but another that is nearer is given.';

function asked(because: string, asksModel: boolean): string {
  return asksModel ? `${because} The base model is asked as well, each time, and may refuse it.` : because;
}
