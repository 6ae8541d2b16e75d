import type { Result, Router } from 'hono/router';

/**
 * A router that remembers what it found for the paths that routes are written with. Those without parameters are asked for most,
 * and lead to the same handlers each time; there are as many of them as routes, whatever clients ask for.
 */
export class RememberingRouter<T> implements Router<T> {
  readonly name = 'RememberingRouter';
  readonly #router: Router<T>;
  /** By path, what was found for each method. */
  readonly #known = new Map<string, Map<string, Result<T>>>();

  constructor(router: Router<T>) {
    this.#router = router;
  }

  add(method: string, path: string, handler: T): void {
    this.#router.add(method, path, handler);
    // What was found before has not this one.
    for (const found of this.#known.values()) found.clear();
    if (!/[:*{]/.test(path)) this.#known.set(path, new Map());
  }

  match(method: string, path: string): Result<T> {
    const known = this.#known.get(path);
    if (known === undefined) return this.#router.match(method, path);
    let found = known.get(method);
    if (found === undefined) {
      found = this.#router.match(method, path);
      known.set(method, found);
    }
    return found;
  }
}
