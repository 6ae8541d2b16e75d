import { expect, test } from 'vitest';
import { pathOf, withQuery } from './client.ts';

test('a query has what is given, and nothing else', () => {
  expect(withQuery('/a', {})).toBe('/a');
  expect(withQuery('/a', { tenant: '', after: null, model: undefined })).toBe('/a');
  expect(withQuery('/a', { tenant: 'a b&c', limit: 50, questions: true })).toBe(
    '/a?tenant=a+b%26c&limit=50&questions=true',
  );
});

test('parts of a path may hold slashes, and lead nowhere else', () => {
  expect(pathOf('/admin/v1/adapters', 'acme/support')).toBe('/admin/v1/adapters/acme%2Fsupport');
  expect(pathOf('/admin/v1/keys', '../tenants?x#y')).toBe('/admin/v1/keys/..%2Ftenants%3Fx%23y');
});
