import { expect, it } from 'vitest';
import { formatProgress } from './progress.ts';

it('says what is done, to what, and how much of it', () => {
  const progress = { stage: 'download', label: 'model.gguf', done: 41_999_999, total: 92_871_040 } as const;
  expect(formatProgress(progress)).toBe('Downloading model.gguf: 45 % of 93 MB');
  expect(formatProgress({ ...progress, stage: 'verify', done: 0, total: 0 })).toBe(
    'Verifying model.gguf: 100 % of 0 MB',
  );
});
