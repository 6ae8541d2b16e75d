/** Which version was made from which. */
import type { Release } from '../../api/types.ts';

export interface LineageNode {
  readonly digest: string;
  /** null for a version that other names have, or that is gone. */
  readonly release: Release | null;
  readonly children: readonly LineageNode[];
}

/**
 * Trees of versions by their parents, the oldest first. A parent that is not among the releases is a root that only its
 * digest is known of.
 */
export function lineageOf(releases: readonly Release[]): readonly LineageNode[] {
  // A content can be a release several times: where it was before counts once.
  const byDigest = new Map(releases.map((release) => [release.digest, release]));
  const childrenOf = new Map<string | null, string[]>();
  for (const { digest, parent } of byDigest.values()) {
    childrenOf.set(parent, [...(childrenOf.get(parent) ?? []), digest]);
  }
  const seen = new Set<string>();
  const nodeOf = (digest: string): LineageNode => {
    seen.add(digest);
    const children = (childrenOf.get(digest) ?? []).filter((child) => !seen.has(child));
    return {
      digest,
      release: byDigest.get(digest) ?? null,
      children: oldestFirst(children, byDigest).map(nodeOf),
    };
  };
  const unknown = [...childrenOf.keys()].filter((parent) => parent !== null && !byDigest.has(parent));
  const roots = [...(childrenOf.get(null) ?? []), ...unknown.filter((parent) => parent !== null)];
  const trees = oldestFirst(roots, byDigest).map(nodeOf);
  // Parents that go in a circle have no root; none of them is lost.
  const rest = [...byDigest.keys()].filter((digest) => !seen.has(digest));
  return [...trees, ...rest.flatMap((digest) => (seen.has(digest) ? [] : [nodeOf(digest)]))];
}

function oldestFirst(digests: readonly string[], releases: ReadonlyMap<string, Release>): string[] {
  const created = (digest: string) => releases.get(digest)?.created ?? 0;
  return [...digests].sort((a, b) => created(a) - created(b));
}
