import type { Budget, Limits } from '../tenants/limits.ts';
import type { Subject, Sums } from './spend-log.ts';

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

interface Hindrance {
  readonly scope: Scope;
  /** Until it is not in the way; null: nobody knows. */
  readonly milliseconds: number | null;
}

export interface BudgetObstacle extends Hindrance {
  readonly kind: 'budget';
  readonly budget: Budget;
  readonly spent: number;
  readonly held: number;
}

/** The limit in the way of a request. */
export type Obstacle =
  | BudgetObstacle
  | (Hindrance &
      (
        | { readonly kind: 'requests' | 'tokens'; readonly limit: number; readonly used: number }
        | { readonly kind: 'concurrency'; readonly limit: number }
      ));

/** Whether a budget has no room for a request even if nothing were held: such an obstacle is told before any that passes. */
export function isSpent({ budget, spent }: BudgetObstacle, need: Pick<Need, 'tokens' | 'money'>): boolean {
  return spent + need[budget.unit] > budget.most;
}

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
  /** What a subject spent, as far as it is known here; null: nobody has asked. */
  sums(subject: Subject): Sums | null;
  close(): Promise<void>;
}
