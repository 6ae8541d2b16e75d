import { ApiError } from '../errors.ts';

/** Streams at once, of all who watch. */
const MOST = 100;
/** Of those, that tenants' administrators have together: the rest is kept for operators. */
const MOST_OF_TENANTS = 80;
const MOST_OF_TENANT = 10;

/** How many may watch what goes on, by whichever stream. Nobody leaves without room those who have to see what is wrong. */
export class LiveRoom {
  readonly #ofTenants = new Map<string, number>();
  #all = 0;
  #tenants = 0;

  /** @param tenant whose administrator would watch; null: an operator. @throws ApiError live_views_exceeded */
  assertRoom(tenant: string | null): void {
    if (tenant !== null) {
      assertFewer(this.#of(tenant), MOST_OF_TENANT, 'live views of your tenant');
      assertFewer(this.#tenants, MOST_OF_TENANTS, "live views of tenants' administrators");
    }
    assertFewer(this.#all, MOST, 'live views');
  }

  /** @returns leaves, once however often it is called. @throws as above */
  enter(tenant: string | null): () => void {
    this.assertRoom(tenant);
    this.#count(tenant, 1);
    let hasLeft = false;
    return () => {
      if (!hasLeft) this.#count(tenant, -1);
      hasLeft = true;
    };
  }

  #of(tenant: string): number {
    return this.#ofTenants.get(tenant) ?? 0;
  }

  #count(tenant: string | null, change: 1 | -1): void {
    this.#all += change;
    if (tenant === null) return;
    this.#tenants += change;
    const views = this.#of(tenant) + change;
    if (views === 0) this.#ofTenants.delete(tenant);
    else this.#ofTenants.set(tenant, views);
  }
}

function assertFewer(open: number, most: number, what: string): void {
  if (open < most) return;
  const message = `${most} ${what} are open, which is as many as there may be. Close one first.`;
  throw new ApiError('live_views_exceeded', message);
}
