import { type VectorArena, vectorCodes } from '@polylora/engine';
import { SameCodes } from './same-codes.ts';
import type { Usearch, UsearchIndex } from './usearch.ts';

/** Links of a node, twice as many on the lowest level. */
const CONNECTIVITY = 16;
/**
 * Candidates that are kept while a node's neighbours are looked for. It costs time once and saves some in every search: with 96 of them
 * a search that keeps 128 finds less than one that keeps 40 does here, and nearly three times as many nodes are not found.
 */
const EXPANSION_ADD = 192;
/** The same in a search, unless more nodes are asked for: nearly all of its time, as each is a row of cache misses. */
export const EXPANSION_SEARCH = 28;
/** Bytes of a node beside its vector: key, level, links of four bytes, and its places in the tables. */
const NODE_BYTES = 8 + 4 + 4 * (2 * CONNECTIVITY + 2) + 128;

/**
 * How far similarities are off in the graph: `usearch` has eight-bit codes of its own, which are multiples of 1/127 in a vector of length 1.
 * At most 0.021 was seen in embeddings of 384 numbers. Who has been found is compared by the arena's codes.
 */
export const INEXACT = 0.03;
/** In place of a row that was removed. */
const DEAD = -1;

/** Nodes that are near, dead ones left out. */
export interface Near {
  readonly rows: readonly number[];
  /** About the similarity of the farthest, dead ones included, give or take {@link INEXACT}; −Infinity where there are no more. */
  readonly farthest: number;
}

/**
 * Rows of an arena in a graph (HNSW) that finds most of those near a vector without looking at all. Nodes are only added: one whose
 * row is removed stays and is left out of what is found. Nodes have numbers of their own, because rows are used again.
 *
 * A graph does not find all of its nodes: some have no link to them, from the start or because others came between. Those that it is
 * known of are looked at in every search, and a table finds a vector's own row, whatever the graph does.
 */
export class Graph {
  readonly #arena: VectorArena;
  readonly #index: UsearchIndex;
  /** By node. */
  readonly #rows: number[] = [];
  readonly #nodes = new Map<number, number>();
  /** Rows that the graph did not find by their own vectors; their nodes are dead. */
  readonly #lost: number[] = [];
  /** Of the nodes that are not dead. */
  readonly #same = new SameCodes();
  /** The node whose turn it is to be looked for. */
  #cursor = 0;
  readonly #width: number;
  #removed = 0;

  constructor({ Index }: Usearch, arena: VectorArena, width: number) {
    this.#arena = arena;
    this.#width = width;
    this.#index = new Index({
      dimensions: width,
      metric: 'cos',
      quantization: 'i8',
      connectivity: CONNECTIVITY,
      expansion_add: EXPANSION_ADD,
      expansion_search: EXPANSION_SEARCH,
      multi: false,
    });
  }

  /** Rows that can be found. */
  get size(): number {
    return this.#nodes.size + this.#lost.length;
  }

  /** Nodes, dead ones included. */
  get nodes(): number {
    return this.#rows.length;
  }

  /** Rows that were removed: a graph that is made anew does not have them. */
  get removed(): number {
    return this.#removed;
  }

  get lost(): readonly number[] {
    return this.#lost;
  }

  /** Memory, estimated. */
  get bytes(): number {
    return this.#rows.length * (this.#width + NODE_BYTES);
  }

  /** Adds a row. @throws Error where memory is short */
  add(row: number): void {
    const node = this.#rows.length;
    this.#index.add(BigUint64Array.of(BigInt(node)), this.#arena.get(row)!, 1);
    this.#rows.push(row);
    this.#nodes.set(row, node);
    this.#same.add(this.#arena.codes(row)!, row);
  }

  /** Looks whether the newest row is found, and whether another still is: one after the other, for each that is added. */
  check(): void {
    this.#check(this.#rows.length - 1);
    this.#check(this.#cursor);
    this.#cursor = (this.#cursor + 1) % this.#rows.length;
  }

  /** @param row still has its vector @returns whether it was there */
  remove(row: number): boolean {
    const node = this.#nodes.get(row);
    if (node !== undefined) {
      this.#kill(row, node);
    } else {
      const place = this.#lost.indexOf(row);
      if (place < 0) return false;
      this.#lost.splice(place, 1);
    }
    this.#removed += 1;
    return true;
  }

  /** All that can be found. */
  rows(): readonly number[] {
    return [...this.#nodes.keys(), ...this.#lost];
  }

  /** The row of a node; null where it was removed. */
  rowOf(node: number): number | null {
    const row = this.#rows[node];
    return row === undefined || row === DEAD ? null : row;
  }

  /**
   * Rows near a vector, each once: those of the `count` nearest nodes that are alive, those with the very same codes, and those that
   * the graph does not find.
   */
  near(vector: Float32Array, count: number): Near {
    const { rows, farthest } = this.#search(vector, count);
    for (const row of this.#same.of(vectorCodes(vector))) if (!rows.includes(row)) rows.push(row);
    return { rows: this.#lost.length === 0 ? rows : rows.concat(this.#lost), farthest };
  }

  /** Has a row that the graph does not find looked at in every search. */
  #check(node: number): void {
    const row = this.rowOf(node);
    if (row === null) return;
    if (this.#search(this.#arena.get(row)!, EXPANSION_SEARCH).rows.includes(row)) return;
    this.#kill(row, node);
    this.#lost.push(row);
  }

  #search(vector: Float32Array, count: number): { readonly rows: number[]; readonly farthest: number } {
    const { keys, distances } = this.#index.search(vector, count, 1);
    // Keys have 64 bits, of which only the lower half is used: no BigInt has to be made.
    const nodes = new Uint32Array(keys.buffer, keys.byteOffset, 2 * keys.length);
    const rows: number[] = [];
    for (let place = 0; place < nodes.length; place += 2) {
      const row = this.#rows[nodes[place]!]!;
      if (row !== DEAD) rows.push(row);
    }
    const last = distances[count - 1];
    return { rows, farthest: last === undefined ? Number.NEGATIVE_INFINITY : 1 - last };
  }

  #kill(row: number, node: number): void {
    this.#rows[node] = DEAD;
    this.#nodes.delete(row);
    this.#same.remove(this.#arena.codes(row)!, row);
  }
}
