import { expect, test } from 'vitest';
import type { CacheHit } from '../../api/cache-types.ts';
import { hitReason } from './hit-reason.ts';

const hit = {
  level: 'similar',
  similarity: 0.934,
  probability: 0.91,
  threshold: 0.72,
  strictness: 0.75,
} as CacheHit;

test('tells what decided', () => {
  expect(hitReason(hit)).toBe(
    'As near as 0.934, where 0.720 is enough; the verifier was 91 % sure that both ask for the same, where 75 % is enough.',
  );
  expect(hitReason({ ...hit, probability: null })).toMatch(/nothing verified it/);
  expect(hitReason({ ...hit, level: 'exact' })).toMatch(/very same question/);
  expect(hitReason({ ...hit, level: 'shared' })).toMatch(/being made for another/);
});
