import { expect, test } from 'vitest';
import type { Release } from '../../api/types.ts';
import { type LineageNode, lineageOf } from './lineage-tree.ts';

const release = (digest: string, parent: string | null, created: number) =>
  ({ digest, parent, created }) as Release;

/** `a(b c(d))` */
function textOf(nodes: readonly LineageNode[]): string {
  return nodes
    .map(({ digest, children }) => (children.length === 0 ? digest : `${digest}(${textOf(children)})`))
    .join(' ');
}

test('below each version is what was made from it, the oldest first', () => {
  const releases = [release('d', 'c', 4), release('c', 'a', 3), release('b', 'a', 2), release('a', null, 1)];
  expect(textOf(lineageOf(releases))).toBe('a(b c(d))');
});

test('a parent of another name is there with its digest alone', () => {
  const trees = lineageOf([release('b', 'other', 2), release('a', null, 1)]);
  expect(textOf(trees)).toBe('other(b) a');
  expect(trees[0]?.release).toBeNull();
});

test('a content that is a release twice is there once', () => {
  expect(textOf(lineageOf([release('a', null, 3), release('b', 'a', 2), release('a', null, 1)]))).toBe(
    'a(b)',
  );
});

test('parents that go in a circle end, and nothing is lost', () => {
  expect(textOf(lineageOf([release('a', 'b', 1), release('b', 'a', 2)]))).toBe('a(b)');
});
