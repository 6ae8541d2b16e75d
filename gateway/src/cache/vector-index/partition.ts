import type { VectorArena } from '@polylora/engine';
import { EXPANSION_SEARCH, Graph, INEXACT } from './graph.ts';
import type { Usearch } from './usearch.ts';

/** How many nodes of the graph are asked for, and again where too few of them can be used; then all rows are looked at. */
const ASKED_FOR = [EXPANSION_SEARCH, 256];
/** Share of a graph's nodes that may be removed before it is made anew. */
const MOST_REMOVED = 0.3;

/** What the partitions of an index have in common. */
export interface PartitionContext {
  readonly arena: VectorArena;
  readonly width: number;
  /** null where there is none: then all rows are looked at always. */
  readonly usearch: Usearch | null;
  /** Rows from which on a partition has a graph. It is given up at half as many. */
  readonly graphFrom: number;
  readonly onWarning: (message: string) => void;
}

/** A row and the cosine of its vector to what was asked for. */
export interface Neighbour {
  readonly row: number;
  readonly similarity: number;
}

export interface Asked {
  readonly vector: Float32Array;
  readonly k: number;
  readonly threshold: number;
  readonly accept: (row: number) => boolean;
}

/**
 * Rows that are searched together. A few are all looked at. Many are in a graph, but for a tail of those that it does not have yet, which
 * are; each {@link step} moves one of them. When too many nodes of the graph are dead, steps make another of the living ones, and until
 * that is done the old one is searched.
 */
export class Partition {
  readonly #context: PartitionContext;
  readonly #tail: number[] = [];
  #graph: Graph | null = null;
  /** What becomes the graph when all living rows of the graph are in it. */
  #next: Graph | null = null;
  /** The graph's node that is looked at next for it. */
  #cursor = 0;
  #isWithoutGraph: boolean;

  constructor(context: PartitionContext) {
    this.#context = context;
    this.#isWithoutGraph = context.usearch === null;
  }

  get size(): number {
    return this.#tail.length + (this.#graph?.size ?? 0);
  }

  /** Memory of the graphs, estimated. */
  get bytes(): number {
    return (this.#graph?.bytes ?? 0) + (this.#next?.bytes ?? 0);
  }

  /** Whether a {@link step} would do something. */
  get hasWork(): boolean {
    if (this.#graph === null) return !this.#isWithoutGraph && this.#tail.length >= this.#context.graphFrom;
    return this.#tail.length > 0 || this.#next !== null || this.#isWorn(this.#graph) || this.#isSmall;
  }

  add(row: number): void {
    this.#tail.push(row);
  }

  /** @param row one that is in it */
  remove(row: number): void {
    if (this.#graph?.remove(row)) {
      this.#next?.remove(row);
      return;
    }
    const place = this.#tail.lastIndexOf(row);
    const last = this.#tail.pop()!;
    if (place < this.#tail.length) this.#tail[place] = last;
  }

  /** The best that are accepted, best first; of equally similar ones the lowest row number first. */
  search(asked: Asked): readonly Neighbour[] {
    if (this.#graph !== null) {
      try {
        const found = this.#searchGraph(this.#graph, asked);
        if (found !== null) return found;
      } catch (error) {
        this.#giveUp(error);
      }
    }
    return this.#best(asked, this.#rows());
  }

  /** Does one thing of what is to be done: at most as long as it takes to put a row in a graph. */
  step(): void {
    try {
      this.#step();
    } catch (error) {
      this.#giveUp(error);
    }
  }

  #step(): void {
    if (!this.hasWork) return;
    if (this.#graph === null) {
      this.#graph = this.#newGraph();
    } else if (this.#isSmall) {
      this.#dissolve();
    } else if (this.#next !== null) {
      this.#copy(this.#graph, this.#next);
    } else if (this.#isWorn(this.#graph)) {
      this.#next = this.#newGraph();
      this.#cursor = 0;
    } else {
      this.#graph.add(this.#tail.at(-1)!);
      this.#tail.pop();
      this.#graph.check();
    }
  }

  /** Puts the next living row of a graph in another, which takes its place after the last. */
  #copy(from: Graph, to: Graph): void {
    while (this.#cursor < from.nodes) {
      const row = from.rowOf(this.#cursor++);
      if (row === null) continue;
      to.add(row);
      to.check();
      return;
    }
    // Those that the old graph did not find are put in the new one as if they had just come.
    for (const row of from.lost) this.#tail.push(row);
    this.#graph = to;
    this.#next = null;
  }

  /** @returns null where the graph does not know enough */
  #searchGraph(graph: Graph, asked: Asked): readonly Neighbour[] | null {
    const { k, threshold, vector } = asked;
    for (const count of ASKED_FOR) {
      const { rows, farthest } = graph.near(vector, Math.max(count, k));
      const found = this.#best(asked, this.#tail.length === 0 ? rows : rows.concat(this.#tail));
      if (found.length === k || farthest < threshold - INEXACT) return found;
    }
    return null;
  }

  /** The best of some rows, by their exact similarities. */
  #best({ vector, k, threshold, accept }: Asked, rows: readonly number[]): readonly Neighbour[] {
    for (let wanted = 2 * k + 8; ; wanted *= 16) {
      const { rows: found, similarities } = this.#context.arena.search(
        vector,
        scratch(rows),
        wanted,
        threshold,
      );
      const best: Neighbour[] = [];
      for (let place = 0; place < found.length && best.length < k; place++) {
        const row = found[place]!;
        if (accept(row)) best.push({ row, similarity: similarities[place]! });
      }
      if (best.length === k || found.length < wanted) return best;
    }
  }

  #rows(): readonly number[] {
    return this.#graph === null ? this.#tail : this.#tail.concat(this.#graph.rows());
  }

  /** So few rows are faster without a graph. Half as many as make one, so that it does not come and go. */
  get #isSmall(): boolean {
    return this.size < this.#context.graphFrom / 2;
  }

  #isWorn({ removed, nodes }: Graph): boolean {
    return removed > MOST_REMOVED * nodes;
  }

  #newGraph(): Graph {
    const { usearch, arena, width } = this.#context;
    return new Graph(usearch!, arena, width);
  }

  #dissolve(): void {
    for (const row of this.#graph?.rows() ?? []) this.#tail.push(row);
    this.#graph = null;

    this.#next = null;
  }

  /** Goes on without a graph. */
  #giveUp(error: unknown): void {
    this.#isWithoutGraph = true;
    this.#dissolve();
    this.#context.onWarning(
      `a partition of the semantic cache's index goes on without a graph, and searches take longer: ${error instanceof Error ? error.message : error}`,
    );
  }
}

/** Used again for every search: rows are copied here because an array of its own for each partition would cost more than most have in it. */
let numbers = new Uint32Array(1024);

function scratch(rows: readonly number[]): Uint32Array {
  if (rows.length > numbers.length) numbers = new Uint32Array(2 * rows.length);
  numbers.set(rows);
  return numbers.subarray(0, rows.length);
}
