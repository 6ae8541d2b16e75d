import { createRequire } from 'node:module';

/** What is used of the package `usearch`, an index of vectors as a graph (HNSW). */
export interface Usearch {
  readonly Index: new (options: UsearchOptions) => UsearchIndex;
}

interface UsearchOptions {
  readonly dimensions: number;
  readonly metric: 'cos';
  readonly quantization: 'i8';
  readonly connectivity: number;
  readonly expansion_add: number;
  readonly expansion_search: number;
  readonly multi: boolean;
}

export interface UsearchIndex {
  add(keys: BigUint64Array, vector: Float32Array, threads: number): void;
  search(
    vector: Float32Array,
    count: number,
    threads: number,
  ): { readonly keys: BigUint64Array; readonly distances: Float32Array };
}

/**
 * Loads it. It is native code and an optional dependency: built for Linux (glibc 2.34 and later) on x64 and arm64 and for macOS;
 * elsewhere npm compiles it, or leaves it out where it cannot.
 * @param onWarning told why it cannot be loaded, and what follows
 * @returns null where it cannot
 */
export function loadUsearch(onWarning: (message: string) => void, name = 'usearch'): Usearch | null {
  try {
    // Not an import: types and modules of what may not be there cannot be resolved.
    return createRequire(import.meta.url)(name) as Usearch;
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    onWarning(
      `usearch cannot be loaded (${reason}): the semantic cache compares with every entry of a partition, which takes milliseconds in large ones`,
    );
    return null;
  }
}
