import { hash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { z } from 'zod';
import type { Logger } from '../logging.ts';
import type { Answer, Counters, Hold, Need, Obstacle, Scope } from './counters.ts';
import type { MemoryCounters } from './memory-counters.ts';
import { endOf, firstDays } from './periods.ts';
import { LIVE, RESERVE, SETTLE, SPENT, STATE } from './redis-script.ts';
import type { Amount, Subject, Sums, SumsReader } from './spend-log.ts';

/** An answer that takes longer is not waited for. */
const ANSWER_MILLISECONDS = 1_000;
/** How often a gateway says that it lives, and after a fault looks whether Redis is back: no request waits for that. */
const ALIVE_EVERY_MILLISECONDS = 1_000;
/** What a gateway held that has not been heard of for so long is free again. */
const LEASE_MILLISECONDS = 10_000;
const MOST_RECONNECT_MILLISECONDS = 2_000;
/** The database is read once; what then is still missing is Redis' fault. */
const MOST_TRIES = 3;

const reply = z.object({
  missing: z.array(z.int()).optional(),
  second: z.number().optional(),
  rates: z
    .union([
      // Lua does not tell an empty list from an empty table.
      z.array(z.never()),
      z.partialRecord(
        z.enum(['requests', 'tokens']),
        z.object({ limit: z.number(), remaining: z.number(), resetMilliseconds: z.number() }),
      ),
    ])
    .optional(),
  obstacle: z
    .object({
      scope: z.int(),
      kind: z.enum(['requests', 'tokens', 'concurrency', 'budget']),
      limit: z.number().optional(),
      used: z.number().optional(),
      milliseconds: z.number().optional(),
      budget: z.int().optional(),
      spent: z.number().optional(),
      held: z.number().optional(),
    })
    .optional(),
});
type Reply = z.infer<typeof reply>;

/**
 * Scripts that Redis knows by their hashes: it is told them when it is back. To tell one when it turns out to be missing would be to tell
 * it after what was asked later, and a sum would have in it what then is added.
 */
const SHAS = new Map([RESERVE, SETTLE, SPENT, LIVE].map((script) => [script, hash('sha1', script, 'hex')]));

/** Why the database could not say what was spent, which is no fault of Redis. */
class SumsUnreadable extends Error {
  override readonly name = 'SumsUnreadable';
}

export interface RedisCountersOptions {
  /** `redis://…` */
  readonly url: string;
  /** Beginning of all keys: the same for all gateways of a database, and no others. */
  readonly prefix: string;
  /** This gateway's own counters, which go on while Redis is away. */
  readonly memory: MemoryCounters;
  /** Milliseconds since 1970, for budgets' periods. */
  readonly now: () => number;
  readonly logger: Logger;
}

/**
 * Counts in Redis, for all gateways together. What this gateway does is counted here as well: while Redis is away, limits hold for
 * each gateway by itself, and budgets by what the database has and this gateway holds.
 *
 * When Redis is back, the gateway takes another name and says under it at once all that it holds. What of its former name still comes,
 * an answer that was not waited for or a hold that was taken meanwhile, counts for nobody: so nothing is held twice or for ever.
 */
export class RedisCounters implements Counters, SumsReader {
  readonly #options: RedisCountersOptions;
  readonly #redis: Redis;
  /** The name under which Redis has all that this gateway holds, while it is not away. */
  #instance: string = randomUUID();
  /** In which of Redis' seconds a request was counted: not one that was let in while it was away. */
  readonly #seconds = new WeakMap<Hold, number>();
  readonly #timer: NodeJS.Timeout;
  /** Whether Redis may not know what this gateway holds and has spent: it is told before it is asked again. */
  #isAway = true;
  #isLiving = false;

  constructor(options: RedisCountersOptions) {
    this.#options = options;
    this.#redis = new Redis(options.url, {
      commandTimeout: ANSWER_MILLISECONDS,
      connectTimeout: MOST_RECONNECT_MILLISECONDS,
      maxRetriesPerRequest: 0,
      // What is asked while it is away is answered here, at once.
      enableOfflineQueue: false,
      retryStrategy: (times) => Math.min(times * 50, MOST_RECONNECT_MILLISECONDS),
    });
    this.#redis.on('error', (error) => this.#failed(error));
    this.#redis.on('close', () => this.#failed(new Error('the connection to Redis ended')));
    this.#redis.on('ready', () => void this.#live());
    this.#timer = setInterval(() => void this.#live(), ALIVE_EVERY_MILLISECONDS);
    this.#timer.unref();
  }

  /** Resolves when Redis answers, or will not soon. */
  async ready(): Promise<void> {
    if (this.#redis.status !== 'ready') {
      const late = new AbortController();
      const ready = once(this.#redis, 'ready', { signal: late.signal });
      await Promise.race([ready, sleep(MOST_RECONNECT_MILLISECONDS, null, { ref: false })]).catch(() => {});
      late.abort();
      ready.catch(() => {});
    }
    await this.#live();
    if (this.#isAway)
      this.#options.logger.error('Redis does not answer: limits hold for this server by itself');
  }

  async reserve(scopes: readonly Scope[], need: Need): Promise<Answer> {
    const { memory } = this.#options;
    for (;;) {
      const instance = this.#instance;
      const told = this.#isAway ? null : await this.#reserve(scopes, need);
      // What was held under a former name is not counted any more.
      if (told !== null && this.#instance === instance) return this.#answer(scopes, need, told);
      if (!this.#isAway) continue;
      const loading = memory.load(scopes);
      // At once: of what is held here later, Redis would not know if it came back before.
      if (loading === null) return memory.reserve(scopes, need);
      await loading;
    }
  }

  settle(hold: Hold, used: Amount | null): void {
    this.#options.memory.settle(hold, used);
    if (this.#isAway) return;
    const second = this.#seconds.get(hold);
    const { scopes, need } = hold;
    const settled = {
      ...{ scopes: this.#told(scopes), need },
      ...(second === undefined ? {} : { second }),
      ...(used === null ? {} : { used }),
    };
    // What does not arrive is told later: what is held by this gateway, what is spent by the database.
    this.#run(SETTLE, settled).catch((error: unknown) => this.#failed(error));
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#redis.removeAllListeners('close');
    await this.#redis.quit().catch(() => this.#redis.disconnect());
  }

  subjects(): readonly Subject[] {
    return this.#options.memory.subjects();
  }

  mark(): void {
    this.#options.memory.mark();
  }

  sums(subject: Subject): Sums | null {
    return this.#options.memory.sums(subject);
  }

  take(subject: Subject, sums: Sums): void {
    this.#options.memory.take(subject, sums);
    if (this.#isAway) return;
    this.#spent(subject).catch((error: unknown) => this.#failed(error));
  }

  /** @returns null where Redis fails @throws what the database does */
  async #reserve(scopes: readonly Scope[], need: Need): Promise<Reply | null> {
    const instance = this.#instance;
    try {
      for (let tries = 0; tries < MOST_TRIES; tries++) {
        const text = await this.#run(RESERVE, { scopes: this.#told(scopes), need });
        const told = reply.parse(JSON.parse(String(text)));
        if (told.missing === undefined) return told;
        await Promise.all(told.missing.map((index) => this.#read(scopes[index])));
      }
      throw new Error('Redis does not keep what it is told');
    } catch (error) {
      if (error instanceof SumsUnreadable) throw error.cause;
      if (this.#instance === instance) this.#failed(error);
      return null;
    }
  }

  #answer(scopes: readonly Scope[], need: Need, told: Reply): Answer {
    const { requests = null, tokens = null } = Array.isArray(told.rates) ? {} : (told.rates ?? {});
    const rates = { requests, tokens };
    if (told.obstacle !== undefined) {
      return { hold: null, obstacle: this.#obstacle(scopes, told.obstacle), rates };
    }
    const hold = this.#options.memory.record(scopes, need);
    this.#seconds.set(hold, told.second ?? 0);
    return { hold, obstacle: null, rates };
  }

  #obstacle(scopes: readonly Scope[], told: NonNullable<Reply['obstacle']>): Obstacle {
    const scope = scopes[told.scope];
    if (scope === undefined) throw new RangeError('Redis told of a scope that was not asked for');
    const { kind, limit = 0, used = 0, milliseconds = null, spent = 0, held = 0 } = told;
    if (kind === 'concurrency') return { scope, kind, limit, milliseconds: null };
    if (kind !== 'budget') return { scope, kind, limit, used, milliseconds };
    const budget = scope.limits.budgets[told.budget ?? 0];
    if (budget === undefined) throw new RangeError('Redis told of a budget that there is not');
    const now = this.#options.now();
    const end = endOf(budget.period, now);
    return { scope, kind, budget, spent, held, milliseconds: end === null ? null : end - now };
  }

  /** Tells Redis what the database has, or had when it was last there. */
  async #read(scope: Scope | undefined): Promise<void> {
    if (scope === undefined) throw new RangeError('Redis misses a scope that was not asked for');
    const { memory } = this.#options;
    await memory.read(scope.subject).catch((cause: unknown) => {
      if (memory.sums(scope.subject) === null) throw new SumsUnreadable('sums cannot be read', { cause });
    });
    await this.#spent(scope.subject);
  }

  /** With what was settled here until now: what was settled before Redis knew of any sum, it did not count. */
  async #spent(subject: Subject): Promise<void> {
    const sums = this.#options.memory.sums(subject);
    if (sums === null) return;
    const first = firstDays(this.#options.now());
    await this.#run(SPENT, { scope: { id: subjectId(subject), first }, sums });
  }

  #told(scopes: readonly Scope[]): object[] {
    const first = firstDays(this.#options.now());
    return scopes.map(({ subject, limits }) => ({
      id: subjectId(subject),
      first,
      budgets: limits.budgets,
      ...(limits.requestsPerMinute === null ? {} : { requests: limits.requestsPerMinute }),
      ...(limits.tokensPerMinute === null ? {} : { tokens: limits.tokensPerMinute }),
      ...(limits.concurrentRequests === null ? {} : { concurrent: limits.concurrentRequests }),
    }));
  }

  async #live(): Promise<void> {
    if (this.#isLiving || this.#redis.status !== 'ready') return;
    this.#isLiving = true;
    try {
      if (!this.#isAway) {
        const isKnown = await this.#run(LIVE, { milliseconds: LEASE_MILLISECONDS });
        if (isKnown === 0) this.#failed(new Error('Redis has forgotten this server'));
      }
      if (this.#isAway) await this.#state();
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#isLiving = false;
    }
  }

  /** Tells Redis all that is held and spent here, as of one moment. */
  async #state(): Promise<void> {
    const { memory, logger, now } = this.#options;
    const former = this.#instance;
    const first = firstDays(now());
    const scopes = memory.known().map(({ subject, concurrent, held, sums }) => ({
      ...{ id: subjectId(subject), first, concurrent, ...held },
      ...(sums === null ? {} : { sums }),
    }));
    this.#instance = randomUUID();
    // What is asked from here on comes after it on the same connection.
    this.#isAway = false;
    await Promise.all([
      ...[...SHAS.keys()].map((script) => this.#redis.script('LOAD', script)),
      this.#redis.eval(STATE, 0, this.#text({ former, scopes, milliseconds: LEASE_MILLISECONDS })),
    ]);
    logger.info('Redis counts for all servers');
  }

  #run(script: string, asked: object): Promise<unknown> {
    if (this.#redis.status !== 'ready') return Promise.reject(new Error('Redis is not connected'));
    return this.#redis.evalsha(SHAS.get(script) ?? '', 0, this.#text(asked));
  }

  #text(asked: object): string {
    const { prefix } = this.#options;
    return JSON.stringify({ prefix, instance: this.#instance, ...asked });
  }

  #failed(error: unknown): void {
    if (this.#isAway) return;
    this.#isAway = true;
    const message = 'Redis does not answer: limits hold for this server by itself';
    this.#options.logger.error({ err: error }, message);
  }
}

/** What a subject is counted under. */
function subjectId({ kind, id }: Subject): string {
  return `${kind}:${id}`;
}
