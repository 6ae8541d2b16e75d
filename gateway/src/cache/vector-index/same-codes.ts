/** Rows by the codes of their vectors: whoever has the very same ones is among them, and seldom another. */
export class SameCodes {
  /** By a hash of the codes; an array where several rows have it. */
  readonly #rows = new Map<number, number | number[]>();

  add(codes: Int8Array, row: number): void {
    const hash = hashOf(codes);
    const there = this.#rows.get(hash);
    if (there === undefined) this.#rows.set(hash, row);
    else if (typeof there === 'number') this.#rows.set(hash, [there, row]);
    else there.push(row);
  }

  /** @param row one that was added with them */
  remove(codes: Int8Array, row: number): void {
    const hash = hashOf(codes);
    const there = this.#rows.get(hash);
    if (typeof there === 'object' && there.length > 1) there.splice(there.indexOf(row), 1);
    else this.#rows.delete(hash);
  }

  of(codes: Int8Array): readonly number[] {
    const there = this.#rows.get(hashOf(codes)) ?? [];
    return typeof there === 'number' ? [there] : there;
  }
}

/** FNV-1a; of so many bits that it is a small integer to V8. */
function hashOf(codes: Int8Array): number {
  let hash = 0x811c_9dc5;
  for (const code of codes) hash = Math.imul(hash ^ (code & 0xff), 0x0100_0193);
  return hash >>> 2;
}
