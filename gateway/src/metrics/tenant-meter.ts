import type { ErrorCode } from '../errors.ts';
import type { Instruments } from './instruments.ts';
import { TopNames } from './top-names.ts';

/** Tenants with series of their own. */
const MOST_TENANTS = 50;

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

/** Shares of budgets that are spent, by tenant. */
export type BudgetShares = (tenants: Iterable<string>) => ReadonlyMap<string, number>;

/** Counts what tenants do. */
export class TenantMeter {
  readonly #instruments: Instruments;
  readonly #names: TopNames;
  #budgets: BudgetShares | null = null;

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
    const tenant = this.#names.label(name);
    this.#instruments.count('tenantRequests', 1, { tenant, outcome: outcomeOf(status) });
    if (code !== null && LIMITS.has(code)) this.#instruments.count('tenantLimited', 1, { tenant, code });
  }

  tokens(name: string, kind: 'prompt' | 'generation', tokens: number): void {
    const tenant = this.#names.peek(name);
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

  /** What is told when metrics are asked for. */
  read(): void {
    this.#instruments.clear('tenantBudgetUsed');
    if (this.#budgets === null) return;
    for (const [tenant, share] of this.#budgets(this.#names.names))
      this.#instruments.set('tenantBudgetUsed', share, { tenant });
  }

  #forget(tenant: string): void {
    for (const outcome of OUTCOMES) this.#instruments.remove('tenantRequests', { tenant, outcome });
    for (const code of LIMIT_CODES) this.#instruments.remove('tenantLimited', { tenant, code });
    for (const key of [
      'tenantPromptTokens',
      'tenantGenerationTokens',
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
