interface StateTable {
  /** The number of the last change. */
  readonly last: number;
  /** Removals up to this number are not told any more. */
  readonly forgotten: number;
}

interface EntryTable {
  /** The number of its last change: in the order of these, entries lie together as they are read. */
  readonly sequence: number;
  readonly id: string;
  /** Digests of names. */
  readonly tenant: Uint8Array;
  readonly model: Uint8Array;
  readonly root: Uint8Array;
  readonly category: Uint8Array;
  /** Milliseconds since 1970. */
  readonly created_at: number;
  readonly expires_at: number;
  readonly hits: number;
  /** JSON. */
  readonly head: string;
  readonly vector: Uint8Array | null;
}

/** What is only read when an entry is found; beside the entry, which so is small where all are read. */
interface BodyTable {
  readonly sequence: number;
  readonly signature: Uint8Array | null;
  /** JSON: the question and the answer. */
  readonly body: string;
}

interface TagTable {
  readonly sequence: number;
  /** The name's digest. */
  readonly tag: Uint8Array;
  /** As the entry has it, so that a tag's newest are found. */
  readonly created_at: number;
  readonly id: string;
}

/** Entries that are gone. */
interface RemovedTable {
  readonly sequence: number;
  readonly id: string;
}

// An alias, not an interface: kysely asks for an index signature.
export type CacheTables = {
  cache_state: StateTable;
  cache_entry: EntryTable;
  cache_body: BodyTable;
  cache_tag: TagTable;
  cache_removed: RemovedTable;
};
