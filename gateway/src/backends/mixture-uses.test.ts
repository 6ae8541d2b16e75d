import { describe, expect, it } from 'vitest';
import { MixtureUses } from './mixture-uses.ts';

describe('MixtureUses', () => {
  it('lets go of the one idle for longest, however many come', () => {
    const uses = new MixtureUses(2);
    const gone = ['a', 'b', 'c', 'd'].map((digest) => {
      uses.begin(digest);
      return uses.end(digest);
    });
    expect(gone).toEqual([null, null, 'a', 'b']);
  });

  it('keeps those that a request is for, and those asked for again', () => {
    const uses = new MixtureUses(1);
    for (const digest of ['a', 'a', 'b']) uses.begin(digest);
    expect(uses.end('a')).toBeNull();
    // 'a' has another request, so that 'b' is the only idle one.
    expect(uses.end('b')).toBeNull();
    uses.begin('b');
    expect(uses.end('a')).toBeNull();
    expect(uses.end('b')).toBe('a');
  });
});
