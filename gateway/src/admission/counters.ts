import type { Budget, Limits } from '../tenants/limits.ts';
import type { Subject } from './spend-log.ts';

/** A tenant or a key with what it may use. */
export interface Scope {
  readonly subject: Subject;
  readonly limits: Limits;
}

/** What a request needs at most. */
export interface Need {
  readonly tokens: number;
  /** Billionths of the currency's unit. */
  readonly money: number;
  /** Whether limits per minute and of what runs at once hold for it: not for what nobody waits for. */
  readonly isInteractive: boolean;
}

/** What is held for a request. */
export interface Hold {
  /** When, on the steady clock. */
  readonly at: number;
  readonly scopes: readonly Scope[];
  readonly need: Need;
}

/** The limit in the way of a request. */
export type Obstacle = { readonly scope: Scope; readonly milliseconds: number | null } & (
  | { readonly kind: 'requests' | 'tokens'; readonly limit: number; readonly used: number }
  | { readonly kind: 'concurrency'; readonly limit: number }
  | { readonly kind: 'budget'; readonly budget: Budget; readonly spent: number; readonly held: number }
);

/** How much of a limit per minute is left. */
export interface Rate {
  readonly limit: number;
  readonly remaining: number;
  /** Until nothing of it is used, if nothing is added. */
  readonly resetMilliseconds: number;
}

export interface Rates {
  readonly requests: Rate | null;
  readonly tokens: Rate | null;
}

/** A hold, or the limit that is in its way, and what is left of the limits per minute. */
export interface Answer {
  readonly hold: Hold | null;
  readonly obstacle: Obstacle | null;
  readonly rates: Rates;
}

/** Who has used and holds how much of what is limited. */
export interface Counters {
  /** Holds all that is needed in every scope, or nothing. */
  reserve(scopes: readonly Scope[], need: Need): Answer | Promise<Answer>;
  /** Puts what was used in the place of what was held; null: nothing was begun, and nothing counts. */
  settle(hold: Hold, used: { readonly tokens: number; readonly money: number } | null): void;
  close(): Promise<void>;
}
