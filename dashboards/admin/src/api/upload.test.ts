import fc from 'fast-check';
import { expect, test } from 'vitest';
import { partBytes } from './upload.ts';

test('small files go in a few parts, large ones in parts of a bounded size', () => {
  const most = { most: 64 << 20 };
  expect(partBytes(1_000, most)).toBe(256 << 10);
  expect(partBytes(40 << 20, most)).toBe(1 << 20);
  expect(partBytes(100_000 << 20, most)).toBe(8 << 20);
});

test('no part is larger than the server takes, and none is empty', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 45 }), fc.integer({ min: 1, max: 2 ** 30 }), (bytes, most) => {
      const part = partBytes(bytes, { most });
      expect(part).toBeLessThanOrEqual(most);
      expect(part).toBeGreaterThanOrEqual(1);
    }),
  );
});
