/**
 * Which mixtures requests are for, and which of the others were asked for last. Clients may make up any number of them, and
 * to describe one takes as much memory as all its parts do.
 */
export class MixtureUses {
  readonly #mostIdle: number;
  /** How many requests are for each. */
  readonly #users = new Map<string, number>();
  /** Those that no request is for, in the order in which they came to that. */
  readonly #idle = new Set<string>();

  constructor(mostIdle: number) {
    this.#mostIdle = mostIdle;
  }

  begin(digest: string): void {
    this.#idle.delete(digest);
    this.#users.set(digest, (this.#users.get(digest) ?? 0) + 1);
  }

  /** @returns the mixture to let go of, where more are idle than are kept */
  end(digest: string): string | null {
    const users = (this.#users.get(digest) ?? 1) - 1;
    if (users > 0) {
      this.#users.set(digest, users);
      return null;
    }
    this.#users.delete(digest);
    this.#idle.add(digest);
    const [oldest = null] = this.#idle;
    if (oldest === null || this.#idle.size <= this.#mostIdle) return null;
    this.#idle.delete(oldest);
    return oldest;
  }
}
