import type { ServiceTotals } from '@polylora/engine';
import type { ErrorCode } from '../errors.ts';
import type { Instruments } from './instruments.ts';
import { OTHER, TopNames } from './top-names.ts';

/** Tenants with series of their own. */
const MOST_TENANTS = 50;
/** As much activity as a request: whoever sends a few long ones uses the server as much as whoever polls. */
const TOKENS_LIKE_A_REQUEST = 500;

export const OUTCOMES = ['ok', 'limited', 'refused', 'left', 'failed'] as const;
type Outcome = (typeof OUTCOMES)[number];

/** What a limit or a budget says. */
export const LIMIT_CODES = [
  'rate_limit_exceeded',
  'concurrency_limit_exceeded',
  'budget_held',
  'insufficient_quota',
  'request_exceeds_limit',
  'engine_overloaded',
] as const satisfies ErrorCode[];
const LIMITS: ReadonlySet<string> = new Set(LIMIT_CODES);

/** What an engine has charged that has just started. */
const NO_SERVICE: ServiceTotals = { total: 0, byTenant: new Map() };

/** Shares of budgets that are spent, by tenant. */
export type BudgetShares = () => ReadonlyMap<string, number>;

/** Counts what tenants do. */
export class TenantMeter {
  readonly #instruments: Instruments;
  readonly #names: TopNames;
  #budgets: BudgetShares | null = null;
  /** What the engine said last. */
  #service = { ...NO_SERVICE, restarts: 0 };
  /** Tenants whose refusals are counted from 0. */
  readonly #prepared = new Set<string>();

  /** @param now milliseconds, steady */
  constructor(instruments: Instruments, now: () => number) {
    this.#instruments = instruments;
    this.#names = new TopNames({ most: MOST_TENANTS, now, onRemoved: (tenant) => this.#forget(tenant) });
  }

  setBudgets(budgets: BudgetShares): void {
    this.#budgets = budgets;
  }

  /** @param code of its error; null: it has none */
  request(name: string, status: number, code: string | null): void {
    const tenant = this.#label(name, 1);
    this.#instruments.count('tenantRequests', 1, { tenant, outcome: outcomeOf(status) });
    if (code !== null && LIMITS.has(code)) this.#instruments.count('tenantLimited', 1, { tenant, code });
  }

  tokens(name: string, kind: 'prompt' | 'generation', tokens: number): void {
    const tenant = this.#label(name, tokens / TOKENS_LIKE_A_REQUEST);
    const key = kind === 'prompt' ? 'tenantPromptTokens' : 'tenantGenerationTokens';
    this.#instruments.count(key, tokens, { tenant });
  }

  firstToken(name: string, seconds: number): void {
    this.#instruments.observe('tenantFirstToken', seconds, { tenant: this.#names.peek(name) });
  }

  /** @param money in the currency's unit */
  spent(name: string, money: number): void {
    this.#instruments.count('tenantSpend', money, { tenant: this.#names.peek(name) });
  }

  /**
   * Follows what the engine has charged tenants for. All of it is counted once: what was charged to those that the engine has
   * forgotten since is the others'.
   * @param restarts how often the engine began at 0 again
   */
  served(service: ServiceTotals, restarts: number): void {
    const before = restarts === this.#service.restarts ? this.#service : NO_SERVICE;
    this.#service = { ...service, restarts };
    let rest = service.total - before.total;
    for (const [name, tokens] of service.byTenant) {
      const seen = before.byTenant.get(name) ?? 0;
      // Less than before: it was forgotten, and came back.
      const more = tokens < seen ? tokens : tokens - seen;
      if (more === 0) continue;
      this.#instruments.count('tenantService', more, { tenant: this.#names.peek(name) });
      rest -= more;
    }
    if (rest > 0) this.#instruments.count('tenantService', rest, { tenant: OTHER });
  }

  /** What is told when metrics are asked for. */
  read(): void {
    this.#instruments.clear('tenantBudgetUsed');
    if (this.#budgets === null) return;
    // Those of all tenants: whose budget ends need not be among the most active.
    const most = [...this.#budgets()].sort(([, a], [, b]) => b - a).slice(0, MOST_TENANTS);
    for (const [tenant, share] of most) this.#instruments.set('tenantBudgetUsed', share, { tenant });
  }

  /** Counts activity, in requests. @returns what the tenant is called in series */
  #label(name: string, activity: number): string {
    const tenant = this.#names.label(name, activity);
    if (this.#prepared.has(tenant)) return tenant;
    this.#prepared.add(tenant);
    // A series' first value is no increase to Prometheus, so that a first refusal would not be seen.
    for (const code of LIMIT_CODES) this.#instruments.count('tenantLimited', 0, { tenant, code });
    return tenant;
  }

  #forget(tenant: string): void {
    this.#prepared.delete(tenant);
    for (const outcome of OUTCOMES) this.#instruments.remove('tenantRequests', { tenant, outcome });
    for (const code of LIMIT_CODES) this.#instruments.remove('tenantLimited', { tenant, code });
    for (const key of [
      'tenantPromptTokens',
      'tenantGenerationTokens',
      'tenantService',
      'tenantFirstToken',
      'tenantSpend',
    ] as const)
      this.#instruments.remove(key, { tenant });
  }
}

function outcomeOf(status: number): Outcome {
  if (status < 400) return 'ok';
  if (status === 429) return 'limited';
  if (status === 499) return 'left';
  return status < 500 ? 'refused' : 'failed';
}
