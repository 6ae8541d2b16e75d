import type { Access } from '../access/access.ts';
import { ApiError } from '../errors.ts';
import type { Limits } from '../tenants/limits.ts';
import { modelName } from '../tenants/model-grants.ts';
import type { Price, Prices } from '../tenants/prices.ts';
import type { Asked, Used } from './asked.ts';
import type { Counters, Hold, Scope } from './counters.ts';
import { dayOf } from './periods.ts';
import { rateHeaders } from './rate-headers.ts';
import { refusal } from './refusal.ts';
import type { SpendLog } from './spend-log.ts';

/** What a client that mixes adapters used: its mixtures have no end of names. */
const MIXTURE = 'mixture';

/** What is held for a request until it has ended. */
export interface Reservation {
  /** What is left of the limits per minute, as headers of the answer. */
  readonly headers: Readonly<Record<string, string>>;
  /** Puts what was used in its place; null: nothing was begun. More than once is once. */
  settle(used: Used | null): void;
}

/** Where nobody's use is counted. */
export const UNLIMITED: Reservation = { headers: {}, settle: () => {} };

export interface AdmissionOptions {
  readonly counters: Counters;
  readonly spend: SpendLog;
  readonly prices: Prices;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Lets requests in as far as their tenant's and their key's limits go, and writes down what they used. */
export class Admission {
  readonly #options: AdmissionOptions;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /**
   * Holds the most that a request can use.
   * @param isInteractive whether somebody waits for it: what nobody waits for has no limits per minute
   * @throws ApiError rate_limit_exceeded, concurrency_limit_exceeded, insufficient_quota, request_exceeds_limit
   */
  reserve(access: Access, asked: Asked, isInteractive = true): Reservation | Promise<Reservation> {
    const price = this.#options.prices.of(asked.model);
    const tokens = asked.promptTokens + asked.completionTokens;
    const scopes = scopesOf(access);
    if (scopes.length === 0) return this.#reservation(access, asked, price, null, {});
    for (const scope of scopes) refuseLarge(scope, tokens, isInteractive);
    const money =
      asked.promptTokens * Math.max(price.input, price.cachedInput) + asked.completionTokens * price.output;
    const answer = this.#options.counters.reserve(scopes, { tokens, money, isInteractive });
    const admitted = ({ hold, obstacle, rates }: Awaited<typeof answer>) => {
      const headers = rateHeaders(rates);
      if (obstacle !== null) throw refusal(obstacle, { tokens, money }, headers);
      return this.#reservation(access, asked, price, hold, headers);
    };
    return answer instanceof Promise ? answer.then(admitted) : admitted(answer);
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
        const name = model.mixture === null ? modelName(model.id) : MIXTURE;
        spend.add({ day: dayOf(now()), tenant, key: key ?? '', model: name }, used, money);
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

/** @throws ApiError for what no waiting would help */
function refuseLarge({ subject, limits }: Scope, tokens: number, isInteractive: boolean): void {
  const whose = subject.kind === 'tenant' ? "Your tenant's" : "Your key's";
  const refuse = (limit: string) => {
    const message = `The request may use up to ${tokens} tokens, with its prompt counted at its most. ${limit} Ask for less, for example by 'max_tokens'.`;
    throw new ApiError('request_exceeds_limit', message, 'max_tokens');
  };
  const { tokensPerRequest, tokensPerMinute } = limits;
  if (tokensPerRequest !== null && tokens > tokensPerRequest)
    refuse(`${whose} requests have at most ${tokensPerRequest} tokens.`);
  if (isInteractive && tokensPerMinute !== null && tokens > tokensPerMinute)
    refuse(`${whose} limit is ${tokensPerMinute} tokens per minute, for all requests together.`);
}

function costOf({ input, cachedInput, output }: Price, used: Used): number {
  const read = used.promptTokens - used.cachedPromptTokens;
  return read * input + used.cachedPromptTokens * cachedInput + used.completionTokens * output;
}
