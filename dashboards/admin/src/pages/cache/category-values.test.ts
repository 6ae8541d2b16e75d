import { expect, test } from 'vitest';
import type { Category } from '../../api/cache-types.ts';
import { categoryBody } from './category-values.ts';

const VALUES = {
  enabled: true,
  similarity_threshold: 0.9,
  verify_from: 0.8,
  strictness: 0.7,
  ttl_seconds: 60,
};
const category = {
  object: 'cache.category',
  name: 'orders',
  source: 'api',
  ...VALUES,
  ttl_seconds: 900,
  max_entries: 5,
  adaptive: null,
  examples: ['Where is my parcel?'],
} as unknown as Category;

test('what was set here before is said again', () => {
  expect(categoryBody(category, VALUES)).toEqual({
    ...VALUES,
    max_entries: 5,
    adaptive: null,
    examples: ['Where is my parcel?'],
  });
});

test('no examples are not said: a list of them has ten at least', () => {
  expect(categoryBody({ ...category, examples: [] }, VALUES)).not.toHaveProperty('examples');
});

test.each(['file', 'built-in'] as const)(
  'the rest of a category of the %s stays what it is there',
  (source) => {
    expect(categoryBody({ ...category, source }, VALUES)).toEqual(VALUES);
  },
);
