import type { DocumentStore, EntryFilter, ListedHead } from './documents/document-store.ts';

/** Entries that a search looks at: a few hundred milliseconds of the store's time. */
export const MOST_SEARCHED = 1_000;
/** Documents that are in memory together: others have their turn between. */
const TOGETHER = 100;

export interface FoundHead extends ListedHead {
  /** As it was asked. */
  readonly question: string;
}

/**
 * Entries whose question has all of these words, whole or as parts of longer ones, in whatever case; the newest first. No store has an
 * index of questions, which lie with the answers: they are read, and so no more than `MOST_SEARCHED` entries are looked at.
 * @returns also the last that was looked at, after which to go on; null where there are none after it
 * @throws StoreUnavailable
 */
export async function searchEntries(
  documents: Pick<DocumentStore, 'find' | 'bodies'>,
  filter: EntryFilter,
  words: readonly string[],
  { limit, before }: Parameters<DocumentStore['find']>[1],
): Promise<{ readonly found: readonly FoundHead[]; readonly last: ListedHead | null }> {
  const sought = words.map((word) => word.toLowerCase());
  const found: FoundHead[] = [];
  let last: ListedHead | null = null;
  for (let looked = 0; looked < MOST_SEARCHED; looked += TOGETHER) {
    const from = last ?? before;
    const page = { limit: TOGETHER, ...(from === undefined ? {} : { before: from }) };
    const heads = await documents.find(filter, page);
    const bodies = await documents.bodies(heads.map(({ id }) => id));
    for (const head of heads) {
      if (found.length === limit) return { found, last };
      last = head;
      const question = bodies.get(head.id)?.question ?? null;
      if (question !== null && hasAll(question, sought)) found.push({ ...head, question });
    }
    if (heads.length < TOGETHER) return { found, last: null };
  }
  return { found, last };
}

function hasAll(question: string, words: readonly string[]): boolean {
  const text = question.toLowerCase();
  return words.every((word) => text.includes(word));
}
