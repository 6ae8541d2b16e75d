import { LRUCache } from 'lru-cache';
import type { StoredAnswer } from './entry.ts';

/** What an answer takes beside its text, about. */
const OVERHEAD_BYTES = 512;

/** Answers that were given or made not long ago, in memory; the one not asked for the longest leaves first. */
export class ExactAnswers {
  readonly #answers: LRUCache<string, StoredAnswer>;

  /** @param maxBytes that all answers take together, about */
  constructor(maxBytes: number) {
    this.#answers = new LRUCache({ maxSize: maxBytes, sizeCalculation: sizeOf });
  }

  get bytes(): number {
    return this.#answers.calculatedSize;
  }

  get size(): number {
    return this.#answers.size;
  }

  /** @param id of the answer's entry */
  get(id: string): StoredAnswer | null {
    return this.#answers.get(id) ?? null;
  }

  set(id: string, answer: StoredAnswer): void {
    this.#answers.set(id, answer);
  }

  delete(id: string): void {
    this.#answers.delete(id);
  }
}

/** As V8 keeps it: a text of Latin letters takes a byte for each, others two. */
function sizeOf({ choices }: StoredAnswer): number {
  let bytes = OVERHEAD_BYTES;
  for (const { text, toolCalls } of choices) {
    bytes += OVERHEAD_BYTES + 2 * text.length;
    for (const call of toolCalls) bytes += OVERHEAD_BYTES + 2 * call.arguments.length;
  }
  return bytes;
}
