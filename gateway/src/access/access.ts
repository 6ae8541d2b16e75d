import type { Principal } from '@polylora/adapters-store';

/** Who asks, and what they may do: set once for each request, before any route sees it. */
export interface Access {
  readonly principal: Principal;
}
