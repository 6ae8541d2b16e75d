/**
 * The order in which the lines of batches are run, after BatchLLM (Zheng et al., 2024): offline, all prompts are known
 * before the first is read, so a prefix cache need not hope that equal beginnings meet. Requests of one adapter come
 * one after the other, and among them those of one salt, because nothing is shared between either; then the
 * longest shared beginnings are neighbours. So each adapter is loaded once and a shared beginning is computed once and
 * dropped after its last use, however small the memory is.
 *
 * Sorting prompts like words in a dictionary walks the tree of their prefixes depth first, and that is the order
 * wanted: nothing stands between two prompts that shares less with either than they share with each other. The
 * prompts themselves would have to stay in memory for it. In their place stands one short hash for each block of
 * characters, of the block and all before it: two prompts' lists of hashes begin alike as far as their texts
 * do, in blocks. Where they part, the order is any but always the same.
 */

/** About the text of one of the engine's KV blocks: shorter beginnings could not be shared anyway. */
const BLOCK_CHARACTERS = 64;

/** Between the parts of a key, so that a name's end comes before all that could go on. */
const SEPARATOR = '\0';

/** Where a request stands in the order: keys are compared as texts, unit by unit. */
export interface LineOrder {
  readonly key: string;
}

/**
 * @param model as clients name it
 * @param prompt in any writing that begins alike for prompts that begin alike
 */
export function lineOrder(model: string, salt: string, prompt: string): LineOrder {
  const units: number[] = [];
  // FNV-1a, never reset: each hash is of all characters so far. A collision costs a good place, nothing else.
  let hash = 0x811c9dc5;
  for (let index = 0; index < prompt.length; index++) {
    hash = Math.imul(hash ^ prompt.charCodeAt(index), 0x01000193);
    const isLast = index === prompt.length - 1;
    if (isLast || index % BLOCK_CHARACTERS === BLOCK_CHARACTERS - 1) units.push(hash >>> 16, hash & 0xffff);
  }
  return { key: [model, salt, textOf(units)].join(SEPARATOR) };
}

/** Below 0 where `a` comes first. */
export function compareLines(a: LineOrder, b: LineOrder): number {
  if (a.key === b.key) return 0;
  return a.key < b.key ? -1 : 1;
}

/** In pieces, because a call takes only so many arguments. */
function textOf(units: readonly number[]): string {
  let text = '';
  for (let begin = 0; begin < units.length; begin += 1024) {
    text += String.fromCharCode(...units.slice(begin, begin + 1024));
  }
  return text;
}
