import { expect, test } from 'vitest';
import { ApiError } from '../errors.ts';
import { readControls } from './controls.ts';

function read(body: Record<string, unknown>, headers: Readonly<Record<string, string>> = {}) {
  return readControls(body, (name) => headers[name]);
}

const NOTHING_SAID = {
  reads: true,
  stores: true,
  maxAgeSeconds: null,
  onlyIfCached: false,
  ttlSeconds: null,
  category: null,
  similarityThreshold: 0,
  tags: [],
};

test('whoever says nothing has the cache read and kept in', () => {
  expect(read({})).toEqual(NOTHING_SAID);
  expect(read({ cache: null })).toEqual(NOTHING_SAID);
});

test('headers and the body say the same', () => {
  const body = { 'no-cache': true, 'no-store': true, 'max-age': 5, 'only-if-cached': true };
  const header = { 'cache-control': 'No-Cache, no-store , max-age="5",only-if-cached' };
  expect(read({ cache: body })).toEqual(read({}, header));
  const named = { 'x-polylora-cache-category': 'code', 'x-polylora-cache-tags': 'a, b,,a' };
  expect(read({ cache: { category: 'code', tags: ['a', 'b'] } })).toEqual(read({}, named));
});

test('what either forbids is forbidden, and the shorter age counts', () => {
  const controls = read(
    { cache: { 'no-store': true, 'max-age': 60 } },
    { 'cache-control': 'no-cache, max-age=30' },
  );
  expect(controls).toMatchObject({ reads: false, stores: false, maxAgeSeconds: 30 });
});

test('an age that cannot be read is no age at all', () => {
  expect(read({}, { 'cache-control': 'max-age=soon' }).maxAgeSeconds).toBe(0);
});

test.each([
  [{ cache: { ttl: -1 } }, 'cache.ttl'],
  [{ cache: { tags: 'a' } }, 'cache.tags'],
  [{ cache: { 'similarity-threshold': 2 } }, 'cache.similarity-threshold'],
  [{ cache: { 'no-cache': 'yes' } }, 'cache.no-cache'],
  [{ cache: true }, 'cache'],
])('%j is refused', (body, param) => {
  expect(() => read(body)).toThrow(ApiError);
  expect(() => read(body)).toThrow(expect.objectContaining({ param }));
});

test('too many tags and too long a category are refused by the names of their headers', () => {
  const tags = Array.from({ length: 17 }, (_, i) => `t${i}`).join();
  expect(() => read({}, { 'x-polylora-cache-tags': tags })).toThrow(
    expect.objectContaining({ param: 'x-polylora-cache-tags' }),
  );
  expect(() => read({}, { 'x-polylora-cache-category': 'x'.repeat(65) })).toThrow(
    expect.objectContaining({ param: 'x-polylora-cache-category' }),
  );
});
