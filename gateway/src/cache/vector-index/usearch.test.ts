import { expect, it } from 'vitest';
import { loadUsearch } from './usearch.ts';

it('says once why it cannot be loaded', () => {
  const warnings: string[] = [];
  expect(loadUsearch((message) => warnings.push(message), 'no-such-package')).toBeNull();
  expect(warnings).toEqual([expect.stringContaining("Cannot find module 'no-such-package'")]);
});

it.runIf(process.platform === 'linux' && process.arch === 'x64')('is there on Linux', () => {
  const warnings: string[] = [];
  expect(loadUsearch((message) => warnings.push(message))).not.toBeNull();
  expect(warnings).toEqual([]);
});
