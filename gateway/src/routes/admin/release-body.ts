import type { Release, Version } from '@polylora/adapters-store';

/** A release as the API tells it. */
export function releaseBody({ name, number, version }: Release): object {
  return { name, release: `v${number}`, ...versionBody(version) };
}

function versionBody({
  digest,
  baseDigest,
  bytes,
  kind,
  task,
  ranks,
  source,
  parent,
  note,
  createdAt,
  pinned,
}: Version): object {
  return {
    digest,
    base_digest: baseDigest,
    bytes,
    kind,
    task,
    ranks,
    source,
    parent,
    note,
    created: Math.floor(createdAt / 1000),
    pinned,
  };
}
