import { hash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { z } from 'zod';
import type { Logger } from '../logging.ts';
import type { Answer, Counters, Hold, Need, Obstacle, Scope } from './counters.ts';
import { type MemoryCounters, subjectId } from './memory-counters.ts';
import { endOf, firstDays } from './periods.ts';
import { LIVE, RESERVE, SETTLE, SPENT } from './redis-script.ts';
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

export interface RedisCountersOptions {
  /** `redis://…` */
  readonly url: string;
  /** Beginning of all keys: the same for all gateways of a database, and no others. */
  readonly prefix: string;
  /** This gateway's own counters, which go on while Redis is away. */
  readonly memory: MemoryCounters;
  readonly sums: (subject: Subject) => Promise<Sums>;
  /** Milliseconds since 1970, for budgets' periods. */
  readonly now: () => number;
  readonly logger: Logger;
}

/**
 * Counts in Redis, for all gateways together. What this gateway does is counted here as well: while Redis is away, limits hold for
 * each gateway by itself, and budgets by what the database has and this gateway holds.
 */
export class RedisCounters implements Counters, SumsReader {
  readonly #options: RedisCountersOptions;
  readonly #redis: Redis;
  readonly #instance = randomUUID();
  /** The holds that Redis knows of, with the second in which it counted them. */
  readonly #seconds = new WeakMap<Hold, number>();
  readonly #timer: NodeJS.Timeout;
  readonly #reading = new Map<string, Promise<void>>();
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
    try {
      const told = await this.#reserve(scopes, need);
      if (told !== null) return this.#answer(scopes, need, told);
    } catch (error) {
      this.#failed(error);
    }
    return memory.reserve(scopes, need);
  }

  settle(hold: Hold, used: Amount | null): void {
    this.#options.memory.settle(hold, used);
    const second = this.#seconds.get(hold);
    if (second === undefined || this.#isAway) return;
    const { scopes, need } = hold;
    // What does not arrive is told later: what is held by this gateway, what is spent by the database.
    this.#run(SETTLE, { scopes: this.#told(scopes), need, second, ...(used === null ? {} : { used }) }).catch(
      (error: unknown) => this.#failed(error),
    );
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

  take(subject: Subject, sums: Sums): void {
    this.#options.memory.take(subject, sums);
    if (this.#isAway) return;
    this.#spent(subject, sums).catch((error: unknown) => this.#failed(error));
  }

  async #reserve(scopes: readonly Scope[], need: Need): Promise<Reply | null> {
    if (this.#isAway) return null;
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const text = await this.#run(RESERVE, { scopes: this.#told(scopes), need });
      const told = reply.parse(JSON.parse(String(text)));
      if (told.missing === undefined) return told;
      await Promise.all(told.missing.map((index) => this.#readOnce(scopes[index]?.subject)));
    }
    return null;
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

  /** Tells Redis what the database has, once however many wait for it. */
  #readOnce(subject: Subject | undefined): Promise<void> {
    if (subject === undefined) return Promise.resolve();
    const id = subjectId(subject);
    const reading =
      this.#reading.get(id) ??
      this.#options
        .sums(subject)
        .then(async (sums) => {
          this.#options.memory.take(subject, sums);
          await this.#spent(subject, sums);
        })
        .finally(() => this.#reading.delete(id));
    this.#reading.set(id, reading);
    return reading;
  }

  #spent(subject: Subject, sums: Sums): Promise<unknown> {
    return this.#run(SPENT, {
      scope: { id: subjectId(subject), first: firstDays(this.#options.now()) },
      sums,
    });
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
    const { memory, logger } = this.#options;
    try {
      const wasAway = this.#isAway;
      if (wasAway) await Promise.all(memory.subjects().map((subject) => this.#readOnce(subject)));
      // What is asked from here on comes after it on the same connection.
      this.#isAway = false;
      const holds = memory
        .holds()
        .map(({ subject, concurrent, held }) => ({ id: subjectId(subject), concurrent, ...held }));
      await this.#run(LIVE, { scopes: holds, milliseconds: LEASE_MILLISECONDS, isNew: wasAway });
      if (wasAway) logger.info('Redis counts for all servers');
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#isLiving = false;
    }
  }

  #run(script: string, asked: object): Promise<unknown> {
    if (this.#redis.status !== 'ready') return Promise.reject(new Error('Redis is not connected'));
    const { prefix } = this.#options;
    const text = JSON.stringify({ prefix, instance: this.#instance, ...asked });
    // By its hash; one that has just started is told the whole.
    return this.#redis.evalsha(shaOf(script), 0, text).catch((error: unknown) => {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
      return this.#redis.eval(script, 0, text);
    });
  }

  #failed(error: unknown): void {
    if (this.#isAway) return;
    this.#isAway = true;
    const message = 'Redis does not answer: limits hold for this server by itself';
    this.#options.logger.error({ err: error }, message);
  }
}

const SHAS = new Map<string, string>();

function shaOf(script: string): string {
  const known = SHAS.get(script) ?? hash('sha1', script, 'hex');
  SHAS.set(script, known);
  return known;
}
