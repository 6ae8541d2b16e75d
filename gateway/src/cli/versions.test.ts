import { describe, expect, it } from 'vitest';
import type { AdapterRelease, Details } from './client.ts';
import { compare, comparisonRows, findRelease, ranksText } from './versions.ts';

const DIGESTS = ['a', 'b'].map((first) => first.padEnd(64, '0'));

function release(number: number, digest = '', changes: Partial<AdapterRelease> = {}): AdapterRelease {
  const version = {
    digest,
    base_digest: 'base',
    bytes: 1_000,
    kind: 'LoRA',
    ranks: { q_proj: 8 },
    source: { kind: 'upload' },
  };
  return {
    release: `v${number}`,
    ...version,
    parent: null,
    note: null,
    created: 0,
    pinned: false,
    ...changes,
  };
}

function details(releases: AdapterRelease[], tags: Record<string, string>): Details {
  return { name: 'acme/support', owner: 'operator', tags, releases, grants: [] };
}

describe('findRelease', () => {
  const adapter = details([release(3, DIGESTS[0]), release(2, DIGESTS[1]), release(1, DIGESTS[0])], {
    latest: DIGESTS[0] ?? '',
    stable: DIGESTS[1] ?? '',
    a00000: DIGESTS[1] ?? '',
  });
  it.each([
    ['v1', 'v1'],
    ['v2', 'v2'],
    ['latest', 'v3'],
    ['stable', 'v2'],
    ['a000000', 'v3'],
    ['a00000', 'v2'],
    [`sha256:${DIGESTS[1]}`, 'v2'],
  ])('finds %s', (version, expected) => {
    expect(findRelease(adapter, version).release).toBe(expected);
  });
  it('says what it does not find, and what is not clear', () => {
    for (const version of ['v4', 'toString', 'a', 'ffffff', '']) {
      expect(() => findRelease(adapter, version)).toThrow(`'acme/support' has no version '${version}'.`);
    }
    const twins = [`${'c'.repeat(63)}1`, `${'c'.repeat(63)}2`].map((digest, index) => release(index, digest));
    expect(() => findRelease(details(twins, {}), 'cccccc')).toThrow('several versions');
  });
});

describe('compare', () => {
  it('says where two versions are the same', () => {
    const a = release(1, DIGESTS[0], { note: 'first' });
    const b = release(2, DIGESTS[1], {
      ranks: { q_proj: 8, v_proj: 16 },
      source: { kind: 'hub', repo: 'acme/x', commit: 'c0ffee' },
      created: 60,
    });
    expect(comparisonRows(['v1', 'v2'], compare(a, b))).toEqual([
      ['', 'v1', 'v2'],
      ['digest', DIGESTS[0], DIGESTS[1]],
      ['base', 'base', '(the same)'],
      ['size', '1.0 kB (1000)', '(the same)'],
      ['kind', 'LoRA', '(the same)'],
      ['rank of q_proj', '8', '(the same)'],
      ['rank of v_proj', '-', '16'],
      ['created', '1970-01-01T00:00:00Z', '1970-01-01T00:01:00Z'],
      ['source', 'upload', 'hub: repo acme/x, commit c0ffee'],
      ['parent', '-', '(the same)'],
      ['pinned', 'no', '(the same)'],
      ['note', 'first', '-'],
    ]);
  });
});

describe('ranksText', () => {
  it('groups modules by rank', () => {
    expect(ranksText({ q_proj: 8, down_proj: 16, v_proj: 8 })).toBe('8 (q_proj, v_proj), 16 (down_proj)');
    expect(ranksText({})).toBe('');
  });
});
