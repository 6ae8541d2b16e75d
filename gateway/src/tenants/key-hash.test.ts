import { describe, expect, it } from 'vitest';
import { isKeyText, KeyHasher, keyPrefix, newKeyText } from './key-hash.ts';

describe('a key', () => {
  it('has 256 bits that no other has, and is told by its beginning', () => {
    const keys = Array.from({ length: 1_000 }, newKeyText);
    expect(new Set(keys).size).toBe(keys.length);
    for (const key of keys) {
      expect(isKeyText(key)).toBe(true);
      expect(Buffer.from(key.slice(4), 'base64url')).toHaveLength(32);
      expect(key.startsWith(keyPrefix(key))).toBe(true);
      expect(keyPrefix(key)).toHaveLength(10);
    }
    for (const other of ['', 'plk_', 'sk-abc', `${keys[0]}x`, `x${keys[0]}`, keys[0]!.slice(0, -1)]) {
      expect(isKeyText(other)).toBe(false);
    }
  });

  it('is kept as a hash that only the same secret makes', () => {
    const [a, b] = [new KeyHasher(Buffer.alloc(32, 1)), new KeyHasher(Buffer.alloc(32, 2))];
    const key = newKeyText();
    expect(a.hash(key)).toBe(new KeyHasher(Buffer.alloc(32, 1)).hash(key));
    expect(a.hash(key)).not.toBe(b.hash(key));
    expect(a.hash(key)).toMatch(/^[A-Za-z0-9_-]{43}$/);
  });
});
