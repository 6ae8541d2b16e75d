import { type Budget, PERIODS, type Period } from '../tenants/limits.ts';
import {
  type Answer,
  type BudgetObstacle,
  type Counters,
  type Hold,
  isSpent,
  type Need,
  type Obstacle,
  type Rate,
  type Rates,
  type Scope,
} from './counters.ts';
import { endOf, type FirstDays, firstDays } from './periods.ts';
import { SlidingWindow } from './sliding-window.ts';
import type { Amount, Subject, Sums, SumsReader } from './spend-log.ts';

/** What nobody has used for so long is forgotten, where it holds nothing. */
const IDLE_MILLISECONDS = 15 * 60_000;

const NOTHING: Amount = { tokens: 0, money: 0 };

/** Of a tenant or a key, in this process. */
interface State {
  readonly subject: Subject;
  readonly requests: SlidingWindow;
  readonly tokens: SlidingWindow;
  concurrent: number;
  held: Amount;
  /** What the database had, once it was read. */
  spent: Sums | null;
  /** What was settled since; of that what is being written. */
  since: Record<Period, Amount>;
  written: Record<Period, Amount>;
  /** The first days of the periods that all this is of. */
  first: FirstDays;
  usedAt: number;
  loading: Promise<void> | null;
}

/** A tenant or a key with what it may use and what it uses. */
interface Limited {
  readonly scope: Scope;
  readonly state: State;
}

/** What is known here of a tenant or a key. */
export interface Known {
  readonly subject: Subject;
  readonly concurrent: number;
  readonly held: Amount;
  /** With all that was settled; null: the database was not asked. */
  readonly sums: Sums | null;
}

export interface MemoryCountersOptions {
  /** Reads what was spent by a subject, with all that was settled until now. */
  readonly sums: (subject: Subject) => Promise<Sums>;
  /** Milliseconds since 1970, for budgets' periods. */
  readonly now: () => number;
  /** Milliseconds of a clock that only goes on, for what is counted by the minute. */
  readonly steady?: () => number;
}

/**
 * Counts in this process. A reservation is one step of the event loop, so that however many come at once never hold more than
 * there is.
 */
export class MemoryCounters implements Counters, SumsReader {
  readonly #options: MemoryCountersOptions;
  readonly #steady: () => number;
  readonly #states = { tenant: new Map<string, State>(), key: new Map<string, State>() };

  constructor(options: MemoryCountersOptions) {
    this.#options = options;
    this.#steady = options.steady ?? (() => performance.now());
  }

  reserve(scopes: readonly Scope[], need: Need): Answer | Promise<Answer> {
    const loading = this.load(scopes);
    return loading === null ? this.#reserve(scopes, need) : loading.then(() => this.#reserve(scopes, need));
  }

  /** Reads the sums that are not known; null: all that have budgets are, and `reserve` answers at once. */
  load(scopes: readonly Scope[]): Promise<unknown> | null {
    let loading: Promise<void>[] | null = null;
    for (const { subject, limits } of scopes) {
      if (limits.budgets.length === 0 || this.#stateOf(subject).spent !== null) continue;
      loading = [...(loading ?? []), this.read(subject)];
    }
    return loading === null ? null : Promise.all(loading);
  }

  /** Reads a subject's sums, once however many wait for them. */
  read(subject: Subject): Promise<void> {
    const state = this.#stateOf(subject);
    state.loading ??= this.#options
      .sums(subject)
      .then((sums) => this.take(subject, sums))
      .finally(() => {
        state.loading = null;
      });
    return state.loading;
  }

  settle({ at, scopes, need }: Hold, used: Amount | null): void {
    const now = this.#steady();
    for (const { subject } of scopes) {
      const state = this.#find(subject);
      if (state === undefined) continue;
      state.held = minus(state.held, need);
      if (need.isInteractive) {
        state.concurrent -= 1;
        state.tokens.correct(now, at, (used?.tokens ?? 0) - need.tokens);
        if (used === null) state.requests.correct(now, at, -1);
      }
      if (used === null) continue;
      this.#roll(state);
      for (const period of PERIODS) state.since[period] = plus(state.since[period], used);
    }
  }

  async close(): Promise<void> {}

  subjects(): readonly Subject[] {
    const oldest = this.#steady() - IDLE_MILLISECONDS;
    for (const { subject, concurrent, held, usedAt } of this.#all()) {
      if (usedAt < oldest && concurrent === 0 && held.tokens === 0)
        this.#states[subject.kind].delete(subject.id);
    }
    return this.#all().flatMap(({ subject, spent }) => (spent === null ? [] : [subject]));
  }

  mark(): void {
    for (const state of this.#all()) state.written = { ...state.since };
  }

  take(subject: Subject, sums: Sums): void {
    const state = this.#find(subject);
    if (state === undefined) return;
    this.#roll(state);
    state.spent = sums;
    for (const period of PERIODS) state.since[period] = minus(state.since[period], state.written[period]);
    state.written = nothing();
  }

  #reserve(scopes: readonly Scope[], need: Need): Answer {
    const at = this.#steady();
    const limited = scopes.map((scope) => ({ scope, state: this.#stateOf(scope.subject) }));
    const obstacle = this.#obstacle(limited, need, at);
    if (obstacle !== null) return { hold: null, obstacle, rates: ratesOf(limited, at) };
    for (const { state } of limited) take(state, need, at);
    return { hold: { at, scopes, need }, obstacle: null, rates: ratesOf(limited, at) };
  }

  /** Holds what was admitted, whatever the limits. */
  record(scopes: readonly Scope[], need: Need): Hold {
    const at = this.#steady();
    for (const { subject } of scopes) take(this.#stateOf(subject), need, at);
    return { at, scopes, need };
  }

  /** What everybody holds and has spent who was here lately. */
  known(): readonly Known[] {
    return this.#all().map((state) => ({
      subject: state.subject,
      concurrent: state.concurrent,
      held: state.held,
      sums: this.#sumsOf(state),
    }));
  }

  sums(subject: Subject): Sums | null {
    const state = this.#find(subject);
    return state === undefined ? null : this.#sumsOf(state);
  }

  #sumsOf(state: State): Sums | null {
    this.#roll(state);
    const { spent, since } = state;
    if (spent === null) return null;
    const { day, month, total } = since;
    return {
      day: plus(spent.day, day),
      month: plus(spent.month, month),
      total: plus(spent.total, total),
    };
  }

  #obstacle(limited: readonly Limited[], need: Need, at: number): Obstacle | null {
    let held: Obstacle | null = null;
    for (const { scope, state } of limited) {
      for (const budget of scope.limits.budgets) {
        const obstacle = this.#budgetObstacle(scope, state, budget, need);
        if (obstacle === null) continue;
        if (isSpent(obstacle, need)) return obstacle;
        held ??= obstacle;
      }
    }
    if (held !== null || !need.isInteractive) return held;
    for (const { scope, state } of limited) {
      const { requestsPerMinute, tokensPerMinute, concurrentRequests: limit } = scope.limits;
      const tooFast =
        rateObstacle(scope, 'requests', requestsPerMinute, state.requests, 1, at) ??
        rateObstacle(scope, 'tokens', tokensPerMinute, state.tokens, need.tokens, at);
      if (tooFast !== null) return tooFast;
      if (limit !== null && state.concurrent >= limit)
        return { scope, kind: 'concurrency', limit, milliseconds: null };
    }
    return null;
  }

  #budgetObstacle(scope: Scope, state: State, budget: Budget, need: Need): BudgetObstacle | null {
    this.#roll(state);
    const { period, unit, most } = budget;
    const spent = (state.spent?.[period][unit] ?? 0) + state.since[period][unit];
    const held = state.held[unit];
    // What costs nothing goes on, also where nothing is left.
    if (need[unit] === 0 || spent + held + need[unit] <= most) return null;
    const now = this.#options.now();
    const end = endOf(period, now);
    return { scope, kind: 'budget', budget, spent, held, milliseconds: end === null ? null : end - now };
  }

  #all(): State[] {
    return [...this.#states.tenant.values(), ...this.#states.key.values()];
  }

  #find({ kind, id }: Subject): State | undefined {
    return this.#states[kind].get(id);
  }

  #stateOf(subject: Subject): State {
    let state = this.#find(subject);
    if (state === undefined) {
      state = {
        subject,
        requests: new SlidingWindow(),
        tokens: new SlidingWindow(),
        concurrent: 0,
        held: NOTHING,
        spent: null,
        since: nothing(),
        written: nothing(),
        first: firstDays(this.#options.now()),
        usedAt: this.#steady(),
        loading: null,
      };
      this.#states[subject.kind].set(subject.id, state);
    }
    return state;
  }

  /** Begins the periods anew that have ended. */
  #roll(state: State): void {
    const first = firstDays(this.#options.now());
    if (state.first === first) return;
    for (const period of PERIODS) {
      if (state.first[period] === first[period]) continue;
      state.since[period] = NOTHING;
      state.written[period] = NOTHING;
      if (state.spent !== null) state.spent = { ...state.spent, [period]: NOTHING };
    }
    state.first = first;
  }
}

/** Holds what was admitted. */
function take(state: State, need: Need, at: number): void {
  state.usedAt = at;
  state.held = plus(state.held, need);
  if (!need.isInteractive) return;
  state.concurrent += 1;
  state.requests.add(at, 1);
  state.tokens.add(at, need.tokens);
}

function rateObstacle(
  scope: Scope,
  kind: 'requests' | 'tokens',
  limit: number | null,
  window: SlidingWindow,
  amount: number,
  at: number,
): Obstacle | null {
  if (limit === null) return null;
  const used = window.total(at);
  if (used + amount <= limit) return null;
  return { scope, kind, limit, used, milliseconds: window.untilAtMost(at, limit - amount) };
}

function ratesOf(limited: readonly Limited[], at: number): Rates {
  let [requests, tokens] = [null as Rate | null, null as Rate | null];
  for (const { scope, state } of limited) {
    const { requestsPerMinute, tokensPerMinute } = scope.limits;
    requests = lesser(requests, rateOf(state.requests, requestsPerMinute, at));
    tokens = lesser(tokens, rateOf(state.tokens, tokensPerMinute, at));
  }
  return { requests, tokens };
}

function rateOf(window: SlidingWindow, limit: number | null, at: number): Rate | null {
  if (limit === null) return null;
  const remaining = Math.max(0, limit - window.total(at));
  return { limit, remaining, resetMilliseconds: window.untilEmpty(at) };
}

function lesser(a: Rate | null, b: Rate | null): Rate | null {
  if (a === null || b === null) return a ?? b;
  return a.remaining <= b.remaining ? a : b;
}

function nothing(): Record<Period, Amount> {
  return { day: NOTHING, month: NOTHING, total: NOTHING };
}

function plus(a: Amount, b: Amount): Amount {
  return { tokens: a.tokens + b.tokens, money: a.money + b.money };
}

function minus(a: Amount, b: Amount): Amount {
  return { tokens: a.tokens - b.tokens, money: a.money - b.money };
}
