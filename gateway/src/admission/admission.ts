import type { Access } from '../access/access.ts';
import { ApiError } from '../errors.ts';
import type { Budget, Limits } from '../tenants/limits.ts';
import { modelName } from '../tenants/model-grants.ts';
import { FREE, type Price } from '../tenants/price.ts';
import type { Prices } from '../tenants/prices.ts';
import type { Asked, Counting, Used } from './asked.ts';
import { type Counters, type Hold, isSpent, type Scope } from './counters.ts';
import { dayOf } from './periods.ts';
import { rateHeaders } from './rate-headers.ts';
import { refusal } from './refusal.ts';
import type { Amount, SpendLog } from './spend-log.ts';

/** What a client that mixes adapters used: its mixtures have no end of names. */
const MIXTURE = 'mixture';

/** Of models without a price: names of adapters that come and go have no end. */
const MOST_TOLD = 1_000;

/** What is held for a request until it has ended. */
export interface Reservation {
  /** What is left of the limits per minute, as headers of the answer. */
  readonly headers: Readonly<Record<string, string>>;
  /** Whether the tokens that are held count against something, so that no more may be used. */
  readonly holdsTokens: boolean;
  /** Puts what was used in its place; null: nothing was begun. More than once is once. */
  settle(used: Used | null): void;
}

const NOTHING: Amount = { tokens: 0, money: 0 };

/** Where nobody's use is counted. */
export const UNLIMITED: Reservation = { headers: {}, holdsTokens: false, settle: () => {} };

export interface AdmissionOptions {
  readonly counters: Counters;
  readonly spend: SpendLog;
  readonly prices: Prices;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Told once of each model that is asked for without a price while a budget of money holds, which then never binds. */
  readonly onUnpriced?: (model: string) => void;
  /** Told of what a tenant was charged, in billionths of the currency's unit. */
  readonly onCharged?: (tenant: string, money: number) => void;
}

/** Lets requests in as far as their tenant's and their key's limits go, and writes down what they used. */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #unpriced = new Set<string>();
  /** Of tenants that have been here, as of their last request. */
  readonly #budgets = new Map<string, readonly Budget[]>();

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /**
   * Holds the most that a request can use.
   * @param isInteractive whether somebody waits for it: what nobody waits for has no limits per minute
   * @throws ApiError rate_limit_exceeded, concurrency_limit_exceeded, budget_held, insufficient_quota, request_exceeds_limit
   */
  reserve(access: Access, asked: Asked, isInteractive = true): Reservation | Promise<Reservation> {
    const price = this.#options.prices.of(asked.model);
    const scopes = scopesOf(access);
    this.#rememberBudgets(access);
    if (scopes.length === 0) return this.#reservation(access, asked, price, null, {});
    if (price === FREE && scopes.some(({ limits }) => limitsMoney(limits))) this.#tellUnpriced(asked);
    const { counting } = asked;
    const need = needOf(asked, asked.promptTokens, price);
    const least = counting === null ? need : needOf(asked, counting.leastPromptTokens, price);
    const large = tooLarge(scopes, need.tokens, isInteractive);
    if (large !== null) {
      if (counting !== null && tooLarge(scopes, least.tokens, isInteractive) === null)
        return this.#counted(access, counting, isInteractive);
      throw large;
    }
    const answer = this.#options.counters.reserve(scopes, { isInteractive, ...need });
    const admitted = ({ hold, obstacle, rates }: Awaited<typeof answer>) => {
      const headers = rateHeaders(rates);
      if (obstacle === null) return this.#reservation(access, asked, price, hold, headers);
      const isByBytes = obstacle.kind === 'budget' && isSpent(obstacle, need) && !isSpent(obstacle, least);
      if (counting !== null && isByBytes) return this.#counted(access, counting, isInteractive);
      throw refusal(obstacle, need, headers);
    };
    return answer instanceof Promise ? answer.then(admitted) : admitted(answer);
  }

  /**
   * Holds what a request can use whose prompts are counted first. That takes the engine's time, so that it is a request like
   * another: one that its limits have room for, and which counts also where it is refused then.
   */
  async #counted(access: Access, { count }: Counting, isInteractive: boolean): Promise<Reservation> {
    const { counters } = this.#options;
    const scopes = scopesOf(access);
    const begin = async (): Promise<Hold> => {
      const { hold, obstacle, rates } = await counters.reserve(scopes, { isInteractive, ...NOTHING });
      if (hold === null || obstacle !== null) throw refusal(obstacle!, NOTHING, rateHeaders(rates));
      return hold;
    };
    const counting = await begin();
    let asked: Asked;
    try {
      asked = await count();
    } catch (error) {
      counters.settle(counting, NOTHING);
      throw error;
    }
    // What it holds may be all that it may have at once.
    counters.settle(counting, null);
    try {
      return await this.reserve(access, asked, isInteractive);
    } catch (error) {
      counters.settle(await begin(), NOTHING);
      throw error;
    }
  }

  /**
   * How much of each tenant's budget is spent, from 0 to 1, of the one that is used the most. Those without a budget, or of whom nothing
   * is known here, are left out.
   */
  budgetShares(): ReadonlyMap<string, number> {
    const shares = new Map<string, number>();
    for (const [tenant, budgets] of this.#budgets) {
      const sums = budgets.length === 0 ? null : this.#options.counters.sums({ kind: 'tenant', id: tenant });
      if (sums === null) continue;
      // Of a budget of nothing all is spent.
      const used = budgets.map(({ period, unit, most }) => (most === 0 ? 1 : sums[period][unit] / most));
      shares.set(tenant, Math.min(1, Math.max(...used)));
    }
    return shares;
  }

  #rememberBudgets({ tenant }: Access): void {
    if (tenant === null || this.#budgets.get(tenant.id) === tenant.limits.budgets) return;
    this.#budgets.set(tenant.id, tenant.limits.budgets);
  }

  #tellUnpriced({ model }: Asked): void {
    const name = nameOf(model);
    if (this.#unpriced.has(name) || this.#unpriced.size >= MOST_TOLD) return;
    this.#unpriced.add(name);
    this.#options.onUnpriced?.(name);
  }

  #reservation(
    { principal: { tenant, key } }: Access,
    { model }: Asked,
    price: Price,
    hold: Hold | null,
    headers: Readonly<Record<string, string>>,
  ): Reservation {
    const { counters, spend, now } = this.#options;
    let isSettled = false;
    return {
      headers,
      holdsTokens: hold?.scopes.some(({ limits }) => limitsTokens(limits)) ?? false,
      settle: (used) => {
        if (isSettled) return;
        isSettled = true;
        if (used === null) {
          if (hold !== null) counters.settle(hold, null);
          return;
        }
        const money = costOf(price, used);
        if (hold !== null)
          counters.settle(hold, { tokens: used.promptTokens + used.completionTokens, money });
        spend.add({ day: dayOf(now()), tenant, key: key ?? '', model: nameOf(model) }, used, money);
        if (money > 0) this.#options.onCharged?.(tenant, money);
      },
    };
  }
}

/** Whoever asks is the same object until something of it is changed. */
const SCOPES = new WeakMap<Access, readonly Scope[]>();

function scopesOf(access: Access): readonly Scope[] {
  const known = SCOPES.get(access) ?? limitedScopes(access);
  SCOPES.set(access, known);
  return known;
}

/** The tenant and the key, as far as they have limits. */
function limitedScopes({ tenant, key }: Access): Scope[] {
  const scopes: Scope[] = [];
  if (tenant !== null && isLimited(tenant.limits))
    scopes.push({ subject: { kind: 'tenant', id: tenant.id }, limits: tenant.limits });
  if (key !== null && isLimited(key.limits))
    scopes.push({ subject: { kind: 'key', id: key.id }, limits: key.limits });
  return scopes;
}

function isLimited({ budgets, ...limits }: Limits): boolean {
  return budgets.length > 0 || Object.values(limits).some((limit) => limit !== null);
}

function limitsTokens({ tokensPerRequest, tokensPerMinute, budgets }: Limits): boolean {
  return tokensPerRequest !== null || tokensPerMinute !== null || budgets.length > 0;
}

function limitsMoney({ budgets }: Limits): boolean {
  return budgets.some(({ unit }) => unit === 'money');
}

function nameOf({ id, mixture }: Asked['model']): string {
  return mixture === null ? modelName(id) : MIXTURE;
}

/** The most that a request can use, where its prompts have so many tokens. */
function needOf({ completionTokens }: Asked, promptTokens: number, price: Price): Amount {
  const { input, cachedInput, output } = price;
  return {
    tokens: promptTokens + completionTokens,
    money: promptTokens * Math.max(input, cachedInput) + completionTokens * output,
  };
}

/** What to tell of a request that no waiting would help; null: it is small enough. */
function tooLarge(scopes: readonly Scope[], tokens: number, isInteractive: boolean): ApiError | null {
  for (const { subject, limits } of scopes) {
    const { tokensPerRequest, tokensPerMinute } = limits;
    const whose = subject.kind === 'tenant' ? "Your tenant's" : "Your key's";
    const refused = (limit: string) => {
      const message = `The request may use up to ${tokens} tokens, with its prompt counted at its most. ${limit} Ask for less, for example by 'max_tokens'.`;
      return new ApiError('request_exceeds_limit', message, 'max_tokens');
    };
    if (tokensPerRequest !== null && tokens > tokensPerRequest)
      return refused(`${whose} requests have at most ${tokensPerRequest} tokens.`);
    if (isInteractive && tokensPerMinute !== null && tokens > tokensPerMinute)
      return refused(`${whose} limit is ${tokensPerMinute} tokens per minute, for all requests together.`);
  }
  return null;
}

function costOf({ input, cachedInput, output }: Price, used: Used): number {
  const read = used.promptTokens - used.cachedPromptTokens;
  return read * input + used.cachedPromptTokens * cachedInput + used.completionTokens * output;
}
