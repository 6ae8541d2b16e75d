import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type PrefixScope, prefixRoot } from './prefix-root.ts';

const scope = fc.record<PrefixScope>({
  model: fc.string(),
  adapter: fc.option(fc.string()),
  tenant: fc.option(fc.string()),
  salt: fc.option(fc.string()),
});

it('differs where anything differs', () => {
  fc.assert(
    fc.property(scope, scope, (one, other) => {
      const same = JSON.stringify(one) === JSON.stringify(other);
      expect(prefixRoot(one) === prefixRoot(other)).toBe(same);
    }),
  );
});

it('cannot be made equal by moving text from one field to the next', () => {
  const roots = [
    { model: 'm', adapter: 'ab', tenant: 'c', salt: null },
    { model: 'm', adapter: 'a', tenant: 'bc', salt: null },
    { model: 'ma', adapter: 'b', tenant: 'c', salt: null },
    { model: 'm', adapter: 'a', tenant: 'b', salt: 'c' },
    { model: 'm', adapter: 'a', tenant: null, salt: 'bc' },
    { model: 'm', adapter: null, tenant: 'a', salt: 'bc' },
    { model: 'm', adapter: '', tenant: 'a', salt: 'bc' },
    { model: 'm', adapter: '\u0001\u0001\u0000\u0000\u0000a', tenant: null, salt: 'bc' },
  ].map(prefixRoot);
  expect(new Set(roots).size).toBe(roots.length);
});
