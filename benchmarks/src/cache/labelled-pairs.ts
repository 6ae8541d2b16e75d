import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../paths.ts';

/** Two questions, of which somebody said whether one answer is right for both. */
export interface LabelledPair {
  readonly category: string;
  readonly query: string;
  readonly candidate: string;
  readonly sameAnswer: boolean;
}

/** What verification was never trained on. */
export const LABELLED_PAIRS: readonly LabelledPair[] = readFileSync(
  join(ROOT, 'test', 'fixtures', 'cache', 'pairs.jsonl'),
  'utf8',
)
  .trim()
  .split('\n')
  .map((line) => {
    const { same_answer: sameAnswer, ...rest } = JSON.parse(line);
    return { ...rest, sameAnswer } as LabelledPair;
  });
