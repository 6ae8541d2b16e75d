import { VectorArena } from '@polylora/engine';
import { Partition, type PartitionContext } from './partition.ts';
import { type Schedule, Upkeep } from './upkeep.ts';
import { loadUsearch, type Usearch } from './usearch.ts';

/** Measured: `docs/adr/0021-vector-index.md`. */
const GRAPH_FROM = 8192;
/** Of an entry, its place in the tables and a partition's own tables, estimated. */
const ENTRY_BYTES = 200;

export interface VectorIndexOptions {
  /** Numbers in a vector. */
  readonly width: number;
  /** Called whenever there is something to do for large partitions, which then takes about a millisecond. */
  readonly schedule: Schedule;
  readonly onWarning: (message: string) => void;
  /** Entries from which on a partition has a graph. */
  readonly graphFrom?: number;
  /** null: do without. Without this option it is loaded. */
  readonly usearch?: Usearch | null;
}

/** What is known of an entry beside its vector. */
export interface VectorEntry {
  readonly id: string;
  readonly partition: string;
  /** In the time of the searches' `now`; it is not found from then on. */
  readonly expiresAt: number;
  /** A number whose meaning the index does not know. */
  readonly tag: number;
}

export interface VectorQuery {
  /** The least cosine. */
  readonly threshold: number;
  /** Most results. */
  readonly k: number;
  readonly now: number;
  /** Leaves out entries. */
  readonly accept?: (id: string, tag: number) => boolean;
}

export interface Similar {
  readonly id: string;
  /** The cosine, by vectors of eight-bit numbers; exactly 1 for the vector that an entry was added with. */
  readonly similarity: number;
}

interface Entry extends VectorEntry {
  readonly row: number;
  readonly members: Partition;
}

/**
 * Vectors in memory, and which of them are similar to another, for the semantic cache. Entries are in partitions, which know nothing of each
 * other; there may be very many, and a few may be large. All is done on the calling thread.
 *
 * Up to some thousands of entries all of a partition are compared, and the result is exact. In larger ones a graph (HNSW) finds
 * nearly always what comparing with all would. How similar something is, is exact in both.
 */
export class VectorIndex {
  readonly #arena: VectorArena;
  readonly #context: PartitionContext;
  readonly #upkeep: Upkeep;
  readonly #entries = new Map<string, Entry>();
  readonly #partitions = new Map<string, Partition>();
  /** By row. */
  readonly #byRow: (Entry | null)[] = [];
  readonly #freeRows: number[] = [];

  /** @throws Error for a width that no vector has */
  constructor({ width, schedule, onWarning, graphFrom = GRAPH_FROM, usearch }: VectorIndexOptions) {
    this.#arena = new VectorArena(width);
    this.#upkeep = new Upkeep(schedule);
    this.#context = {
      arena: this.#arena,
      width,
      usearch: usearch === undefined ? loadUsearch(onWarning) : usearch,
      graphFrom,
      onWarning,
    };
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Whether its graphs have all that they are to have. */
  get isSettled(): boolean {
    return this.#upkeep.isDone;
  }

  /** Memory that it takes, in part estimated. */
  get bytes(): number {
    let graphs = 0;
    for (const partition of this.#partitions.values()) graphs += partition.bytes;
    return this.#arena.bytes + graphs + this.#entries.size * ENTRY_BYTES;
  }

  /**
   * Adds an entry, instead of one of the same id.
   * @param vector its length does not matter
   * @throws Error where it has another width or a number that is not finite
   */
  add(
    partition: string,
    id: string,
    vector: Float32Array,
    { expiresAt, tag }: Pick<VectorEntry, 'expiresAt' | 'tag'>,
  ): void {
    const row = this.#freeRows.at(-1) ?? this.#byRow.length;
    this.#arena.set(row, vector);
    if (row === this.#byRow.length) this.#byRow.push(null);
    else this.#freeRows.pop();
    this.remove(id);
    let members = this.#partitions.get(partition);
    if (members === undefined) {
      members = new Partition(this.#context);
      this.#partitions.set(partition, members);
    }
    const entry: Entry = { id, partition, expiresAt, tag, row, members };
    this.#entries.set(id, entry);
    this.#byRow[row] = entry;
    members.add(row);
    this.#upkeep.wake(members);
  }

  /** @returns whether it was there */
  remove(id: string): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    const { row, members, partition } = entry;
    this.#entries.delete(id);
    this.#byRow[row] = null;
    this.#freeRows.push(row);
    members.remove(row);
    this.#arena.clear(row);
    if (members.size === 0) {
      this.#partitions.delete(partition);
      this.#upkeep.forget(members);
    } else {
      this.#upkeep.wake(members);
    }
    return true;
  }

  /**
   * The entries of a partition that are most similar to a vector, best first.
   * @throws Error where the vector has another width or a number that is not finite
   */
  search(partition: string, vector: Float32Array, { threshold, k, now, accept }: VectorQuery): Similar[] {
    const members = this.#partitions.get(partition);
    if (members === undefined) return [];
    const isFound = (row: number) => {
      const entry = this.#byRow[row];
      // Of another partition nothing may ever be found, whatever else is wrong.
      if (entry == null || entry.members !== members || entry.expiresAt <= now) return false;
      return accept === undefined || accept(entry.id, entry.tag);
    };
    const found = members.search({ vector, k, threshold, accept: isFound });
    return found.map(({ row, similarity }) => ({ id: this.#byRow[row]!.id, similarity }));
  }

  get(id: string): VectorEntry | null {
    return this.#entries.get(id) ?? null;
  }

  /** An entry's vector, of length 1 and as exact as it is kept: adding it again changes nothing. */
  vectorOf(id: string): Float32Array | null {
    const entry = this.#entries.get(id);
    return entry === undefined ? null : this.#arena.get(entry.row);
  }

  /** All entries, in the order in which they were added. */
  entries(): IterableIterator<VectorEntry> {
    return this.#entries.values();
  }
}
