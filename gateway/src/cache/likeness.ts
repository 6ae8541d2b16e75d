/** What two questions have to have in common for one's answer to be given to the other. */
import type { Effective } from './categories/category-table.ts';

/** How near a question is to another, and what verification makes of the two; null where it was not asked, or cannot tell. */
export interface Likeness {
  readonly similarity: number;
  readonly probability: number | null;
}

/** The least of both. Strictness 0: verification is not asked. */
export interface Needed {
  readonly similarity: number;
  readonly strictness: number;
}

/** What an equal question needs. */
export const EQUAL: Needed = { similarity: 1, strictness: 0 };

/** Where verification tells, the cosine need not. */
export function leastSimilarity(
  { similarityThreshold, verifyFrom, strictness }: Effective,
  hasVerifier: boolean,
): number {
  return hasVerifier && strictness > 0 ? Math.min(similarityThreshold, verifyFrom) : similarityThreshold;
}

/**
 * What is kept by a stricter category's rules is found by them.
 * @param asked what holds of the question's category
 * @param own what holds of the entry's
 * @param least what the request asks for
 */
export function neededOf(asked: Effective, own: Effective, hasVerifier: boolean, least = 0): Needed {
  return {
    similarity: Math.max(leastSimilarity(asked, hasVerifier), leastSimilarity(own, hasVerifier), least),
    strictness: Math.max(asked.strictness, own.strictness),
  };
}

export function isVerified(probability: number | null, { strictness }: Needed): boolean {
  return strictness === 0 || (probability !== null && probability >= strictness);
}

export function isEnough({ similarity, probability }: Likeness, needed: Needed): boolean {
  return similarity >= needed.similarity && isVerified(probability, needed);
}
