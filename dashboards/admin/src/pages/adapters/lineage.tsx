import type { Release } from '../../api/types.ts';
import { shortDigest } from '../../format/numbers.ts';
import { date } from '../../format/times.ts';
import { type LineageNode, lineageOf } from './lineage-tree.ts';

/** The versions as a tree: below each, what was made from it. */
export function Lineage({ releases }: { readonly releases: readonly Release[] }) {
  return (
    <ul class="lineage">
      {lineageOf(releases).map((node) => (
        <Node key={node.digest} node={node} />
      ))}
    </ul>
  );
}

function Node({ node: { digest, release, children } }: { readonly node: LineageNode }) {
  return (
    <li>
      <strong>{release?.release ?? 'Another adapter’s version'}</strong>{' '}
      <code title={digest}>{shortDigest(digest)}</code>{' '}
      {release !== null && <span class="muted">{date(release.created)}</span>}
      {release?.note != null && <div class="small muted">{release.note}</div>}
      {children.length > 0 && (
        <ul>
          {children.map((child) => (
            <Node key={child.digest} node={child} />
          ))}
        </ul>
      )}
    </li>
  );
}
