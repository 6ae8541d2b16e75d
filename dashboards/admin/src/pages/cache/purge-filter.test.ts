import { expect, test } from 'vitest';
import { purgeBody, purgeText } from './purge-filter.ts';

const NONE = { id: '', tenant: '', model: '', root: '', category: '', tag: '' };

test('nothing filled in is everything, and has to be said', () => {
  expect(purgeBody({ ...NONE, tag: '  ' })).toEqual({ all: true });
  expect(purgeText(NONE)).toBe('everything');
});

test('what is filled in counts together', () => {
  const filter = { ...NONE, category: 'support', tag: ' docs-v2 ' };
  expect(purgeBody(filter)).toEqual({ category: 'support', tag: 'docs-v2' });
  expect(purgeText(filter)).toBe('category support and tag docs-v2');
});
