import type { Selectable } from 'kysely';
import type { VersionTable } from './metadata/tables.ts';
import type { Adapter, AdapterTask, LoraModule } from './types.ts';

/** Where a version's files came from. */
export type VersionSource =
  | { readonly kind: 'upload' }
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'hub'; readonly repo: string; readonly commit: string }
  /** `etag` of its weights. */
  | { readonly kind: 's3'; readonly location: string; readonly etag: string };

/** A content and what is known of it. */
export interface Version {
  /** SHA-256 of the content, in hex. */
  readonly digest: string;
  readonly baseDigest: string;
  /** Bytes of its safetensors file. */
  readonly bytes: number;
  /** What its method is called: `LoRA`, `DoRA`, `(IA)³`, … */
  readonly kind: string;
  readonly task: AdapterTask;
  /** The largest rank of each module that it has ranks in. */
  readonly ranks: Readonly<Partial<Record<LoraModule, number>>>;
  readonly source: VersionSource;
  /** The version that it was trained from, where that was told. */
  readonly parent: string | null;
  readonly note: string | null;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly pinned: boolean;
}

/** A version under a name. */
export interface Release {
  readonly name: string;
  /** `name@v<number>` */
  readonly number: number;
  readonly version: Version;
}

/** All columns but the configuration, which is long. */
export const VERSION_COLUMNS = [
  'version.digest',
  'version.base_digest',
  'version.bytes',
  'version.kind',
  'version.task',
  'version.ranks',
  'version.source',
  'version.parent',
  'version.note',
  'version.created_at',
  'version.pinned',
] as const;

export function readVersion(
  row: Pick<
    Selectable<VersionTable>,
    | 'digest'
    | 'base_digest'
    | 'bytes'
    | 'kind'
    | 'task'
    | 'ranks'
    | 'source'
    | 'parent'
    | 'note'
    | 'created_at'
    | 'pinned'
  >,
): Version {
  return {
    digest: row.digest,
    baseDigest: row.base_digest,
    bytes: row.bytes,
    kind: row.kind,
    task: row.task,
    ranks: JSON.parse(row.ranks) as Version['ranks'],
    source: JSON.parse(row.source) as VersionSource,
    parent: row.parent,
    note: row.note,
    createdAt: row.created_at,
    pinned: row.pinned === 1,
  };
}

export function largestRanks({ modules }: Adapter): Version['ranks'] {
  const ranks: Partial<Record<LoraModule, number>> = {};
  for (const { module, lowRank } of modules) {
    const rank = lowRank.reduce((sum, change) => sum + change.rank, 0);
    if (rank > 0) ranks[module] = Math.max(ranks[module] ?? 0, rank);
  }
  return ranks;
}
