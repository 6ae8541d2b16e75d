import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isAdapterName, isTag, parseReference } from './name.ts';

const DIGEST = 'a'.repeat(64);

describe('parseReference', () => {
  it.each([
    ['pirate', { name: 'pirate', kind: 'tag', tag: 'latest' }],
    ['acme/support', { name: 'acme/support', kind: 'tag', tag: 'latest' }],
    ['acme/support@stable', { name: 'acme/support', kind: 'tag', tag: 'stable' }],
    ['acme/support@v12', { name: 'acme/support', kind: 'release', number: 12 }],
    ['acme/support@v1.2', { name: 'acme/support', kind: 'tag', tag: 'v1.2' }],
    [`acme/support@sha256:${DIGEST}`, { name: 'acme/support', kind: 'digest', digest: DIGEST }],
  ])('reads %s', (text, reference) => {
    expect(parseReference(text)).toEqual(reference);
  });

  it.each([
    '',
    '@latest',
    'a/b/c',
    '/a',
    'a/',
    '../a',
    'a/..',
    'a..b',
    'a%2fb',
    'a\0b',
    'a b',
    'a@',
    'a@b@c',
    'a@v0x/',
    `a@sha256:${DIGEST.slice(1)}`,
    `a@sha256:${DIGEST.toUpperCase()}`,
    'x'.repeat(129),
  ])('refuses %j', (text) => {
    expect(parseReference(text)).toBeNull();
  });

  it('never gives a name or a tag that is none', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const reference = parseReference(text);
        if (reference === null) return;
        expect(isAdapterName(reference.name)).toBe(true);
        if (reference.kind === 'tag') expect(isTag(reference.tag)).toBe(true);
      }),
    );
  });
});

it('keeps the names of releases from being moved', () => {
  expect(isTag('v3')).toBe(false);
  expect(isTag('v3.1')).toBe(true);
  expect(isTag('stable')).toBe(true);
});
