import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { match, to, withinBase } from './router.ts';

const ROUTES = [
  { pattern: '/', value: 'overview' },
  { pattern: '/adapters', value: 'adapters' },
  { pattern: '/adapters/:name', value: 'adapter' },
  { pattern: '/cache/:part', value: 'cache' },
];

describe('match', () => {
  test.each([
    ['/', 'overview', {}],
    ['/adapters', 'adapters', {}],
    ['/adapters/', 'adapters', {}],
    ['/adapters/pirate', 'adapter', { name: 'pirate' }],
    ['/adapters/acme%2Fsupport', 'adapter', { name: 'acme/support' }],
  ])('%s is %s', (path, value, params) => {
    expect(match(ROUTES, path)).toEqual({ value, params });
  });

  test.each(['/nothing', '/adapters/a/b', '/cache', '/adapters/%E0%A4%A', '/Adapters'])(
    '%s is no page',
    (path) => {
      expect(match(ROUTES, path)).toBeNull();
    },
  );

  test('a name comes back as it went in, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (name) => {
        expect(match(ROUTES, to('adapters', name))).toEqual({ value: 'adapter', params: { name } });
      }),
    );
  });
});

test.each([
  ['/admin', '/'],
  ['/admin/', '/'],
  ['/admin/adapters', '/adapters'],
  ['/admin/adapters/', '/adapters'],
  ['/elsewhere', '/'],
])('%s is %s within the dashboard', (path, within) => {
  expect(withinBase(path)).toBe(within);
});
