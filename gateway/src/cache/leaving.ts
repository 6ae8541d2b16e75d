/**
 * Entries on their way out: gone here, and perhaps still in what is being read of the store, which must not bring them back.
 */
export class Leaving {
  /** Of each removal that is under way. */
  readonly #removals = new Set<Set<string>>();
  /** What has left since each reading began. */
  readonly #readings = new Set<Set<string>>();

  /** Takes entries out, here and in the store. @param remove says which, before each of them is gone here */
  async removing<T>(remove: (leave: (ids: readonly string[]) => void) => Promise<T>): Promise<T> {
    const removal = new Set<string>();
    this.#removals.add(removal);
    const leave = (ids: readonly string[]) => {
      for (const id of ids) {
        removal.add(id);
        for (const left of this.#readings) left.add(id);
      }
    };
    try {
      return await remove(leave);
    } finally {
      this.#removals.delete(removal);
    }
  }

  /** Reads the store. @param read is told whether what it finds may have left here meanwhile */
  async reading<T>(read: (hasLeft: (id: string) => boolean) => Promise<T>): Promise<T> {
    const left = new Set([...this.#removals].flatMap((removal) => [...removal]));
    this.#readings.add(left);
    try {
      return await read((id) => left.has(id));
    } finally {
      this.#readings.delete(left);
    }
  }
}
