import type { ColumnType, Generated } from 'kysely';
import type { AdapterTask } from '../types.ts';

/** Milliseconds since 1970. */
type Time = number;

/** What is known of one content. */
export interface VersionTable {
  /** SHA-256 of the content, in hex. */
  readonly digest: string;
  /** Of the base model that it was checked against. */
  readonly base_digest: string;
  /** Id of the blob that holds its safetensors file. */
  blob: string;
  /** Bytes of that file. */
  bytes: number;
  /** adapter_config.json as it was given. */
  config: string;
  /** What its method is called: `LoRA`, `DoRA`, `(IA)³`, … */
  kind: string;
  task: AdapterTask;
  /** JSON: the largest rank of each module. */
  ranks: string;
  /** JSON: where it came from. */
  readonly source: string;
  /** Digest of the version that it was trained from; null: not told. */
  readonly parent: string | null;
  readonly note: string | null;
  readonly created_at: Time;
  /** Not to be collected, whatever refers to it: 0 or 1. */
  pinned: number;
  /** Since when no tag refers to it; null while one does. */
  unreferenced_since: Time | null;
}

/** The n-th content that was pushed under a name: `name@v3`. Never moved. */
export interface ReleaseTable {
  readonly name: string;
  readonly number: number;
  readonly digest: string;
  readonly created_at: Time;
}

/** What a name's tag stands for now. */
export interface TagTable {
  readonly name: string;
  readonly tag: string;
  digest: string;
  moved_at: Time;
}

/** Who may use a name, beside its owner. */
export interface GrantTable {
  readonly name: string;
  readonly kind: 'tenant' | 'key';
  readonly grantee: string;
  readonly granted_at: Time;
}

/** A name and the tenant that it belongs to. */
export interface AdapterTable {
  readonly name: string;
  readonly owner: string;
  readonly created_at: Time;
}

/** What was done, in order; each row holds the hash of the one before. */
export interface AuditTable {
  readonly sequence: Generated<number>;
  readonly at: ColumnType<Time, Time, never>;
  readonly actor: ColumnType<string, string, never>;
  readonly action: ColumnType<string, string, never>;
  readonly subject: ColumnType<string, string, never>;
  /** JSON. */
  readonly details: ColumnType<string, string, never>;
  readonly previous: ColumnType<string, string, never>;
  readonly hash: ColumnType<string, string, never>;
}

/** A folder of a directory of adapters whose files were checked, so that they need not be read whole again. */
export interface CheckedFolderTable {
  readonly directory: string;
  readonly name: string;
  readonly signature: string;
  readonly digest: string;
  readonly task: AdapterTask;
}

/** A token or the like, encrypted. */
export interface SecretTable {
  readonly name: string;
  sealed: string;
  updated_at: Time;
}

/** An adapter on its way from a source. */
export interface ImportTable {
  readonly id: string;
  /** Tenant that asked for it. */
  readonly tenant: string;
  /** JSON: what was asked for; the same for the same. */
  readonly request: string;
  state: 'queued' | 'fetching' | 'storing' | 'done' | 'failed' | 'cancelled';
  /** Process that does it. */
  readonly worker: string;
  /** When that process last said that it is at it. */
  seen_at: Time;
  bytes_done: number;
  bytes_total: number | null;
  /** JSON: the release, where it is done. */
  result: string | null;
  error_code: string | null;
  error_message: string | null;
  readonly created_at: Time;
  finished_at: Time | null;
}

export interface Tables {
  secret: SecretTable;
  import: ImportTable;
  checked_folder: CheckedFolderTable;
  adapter: AdapterTable;
  version: VersionTable;
  release: ReleaseTable;
  tag: TagTable;
  adapter_grant: GrantTable;
  audit: AuditTable;
}
