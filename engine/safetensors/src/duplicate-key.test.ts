import fc from 'fast-check';
import { expect, test } from 'vitest';
import { findDuplicateKey } from './duplicate-key.ts';

test('finds a repeated key at any depth, however it is written', () => {
  expect(findDuplicateKey('{"a":1,"b":{"c":[{"d":1,"d" : 2}]}}')).toBe('d');
  expect(findDuplicateKey('{"a\\"b":1,"a\\u0022b":2}')).toBe('a"b');
  expect(findDuplicateKey('{"":1,"":2}')).toBe('');
});

test('lets the same key stand in different objects, and text that only looks like keys', () => {
  expect(findDuplicateKey('{"a":{"a":1},"b":[{"a":1},{"a":"a"}],"c":"{\\"a\\":1,\\"a\\":2}"}')).toBeNull();
});

test('finds nothing in what JSON.stringify writes', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(undefined, 2), (value, indent) => {
      expect(findDuplicateKey(JSON.stringify(value, null, indent))).toBeNull();
    }),
  );
});
