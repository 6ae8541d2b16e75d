import { setTimeout as sleep } from 'node:timers/promises';
import { withoutDisk } from '@polylora/adapters-store';
import type { Logger } from '../logging.ts';
import type { TenantDatabase } from '../tenants/tables.ts';
import type { Used } from './asked.ts';
import { firstDays } from './periods.ts';

/** How often what was used is written down: what a `kill -9` loses was used since. */
const WRITE_MILLISECONDS = 250;
/** How often sums are read again: other gateways write too. */
const READ_MILLISECONDS = 2_000;
/** Sums that are read at once. */
const AT_ONCE = 200;

/** Whose spend it is: a tenant's, or one of its keys'. */
export interface Subject {
  readonly kind: 'tenant' | 'key';
  readonly id: string;
}

export interface Amount {
  readonly tokens: number;
  readonly money: number;
}

/** What was spent in the periods that a time is in. */
export type Sums = Readonly<Record<'day' | 'month' | 'total', Amount>>;

interface Entry {
  readonly day: string;
  readonly tenant: string;
  readonly key: string;
  readonly model: string;
  requests: number;
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
  money: number;
}

/** Somebody who keeps sums, and is told what the database has. */
export interface SumsReader {
  /** Subjects whose sums are wanted. */
  subjects(): readonly Subject[];
  /** What was settled until now is being written: sums that come next have it in them. */
  mark(): void;
  take(subject: Subject, sums: Sums): void;
}

/** Writes down what was used, some of it together, and reads the sums of it. */
export class SpendLog {
  readonly #database: TenantDatabase;
  readonly #logger: Logger;
  readonly #now: () => number;
  readonly #reader: SumsReader;
  #pending = new Map<string, Entry>();
  readonly #stop = new AbortController();
  readonly #loop: Promise<void>;
  #turn: Promise<unknown> = Promise.resolve();
  #readAt = 0;
  /** Where there are more subjects than are read at once, they take turns. */
  #readTo = 0;
  #isAway = false;

  /** @param now milliseconds since 1970 */
  constructor(database: TenantDatabase, reader: SumsReader, now: () => number, logger: Logger) {
    this.#database = database;
    this.#reader = reader;
    this.#now = now;
    this.#logger = logger;
    this.#loop = this.#run();
  }

  /** Takes what was used; it is in the database soon, and counts here at once. */
  add(entry: Pick<Entry, 'day' | 'tenant' | 'key' | 'model'>, used: Used, money: number): void {
    const id = [entry.day, entry.tenant, entry.key, entry.model].join('\0');
    let sum = this.#pending.get(id);
    if (sum === undefined) {
      sum = { ...entry, requests: 0, promptTokens: 0, cachedTokens: 0, completionTokens: 0, money: 0 };
      this.#pending.set(id, sum);
    }
    sum.requests += 1;
    sum.promptTokens += used.promptTokens;
    sum.cachedTokens += used.cachedPromptTokens;
    sum.completionTokens += used.completionTokens;
    sum.money += money;
  }

  /** Sums with all that was taken until now. */
  sumsWithAll(subject: Subject): Promise<Sums> {
    return this.#inTurn(async () => {
      await this.#write();
      return this.#sums(subject);
    });
  }

  async #sums({ kind, id }: Subject): Promise<Sums> {
    const at = this.#now();
    const row = await this.#database
      .selectFrom('spend')
      .where(kind, '=', id)
      .select(({ fn, eb, ref }) => {
        const tokens = eb('prompt_tokens', '+', ref('completion_tokens'));
        const money = ref('money');
        const { day, month } = firstDays(at);
        return [
          fn.sum(eb.case().when('day', '>=', day).then(tokens).else(0).end()).as('day_tokens'),
          fn.sum(eb.case().when('day', '>=', day).then(money).else(0).end()).as('day_money'),
          fn.sum(eb.case().when('day', '>=', month).then(tokens).else(0).end()).as('month_tokens'),
          fn.sum(eb.case().when('day', '>=', month).then(money).else(0).end()).as('month_money'),
          fn.sum(tokens).as('total_tokens'),
          fn.sum(money).as('total_money'),
        ];
      })
      .executeTakeFirst();
    // PostgreSQL gives sums as text, so that none is too large.
    const amount = (tokens: unknown, money: unknown): Amount => ({
      tokens: Number(tokens ?? 0),
      money: Number(money ?? 0),
    });
    return {
      day: amount(row?.day_tokens, row?.day_money),
      month: amount(row?.month_tokens, row?.month_money),
      total: amount(row?.total_tokens, row?.total_money),
    };
  }

  /** Writes what is left. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
    await this.#inTurn(() => this.#write()).catch((error: unknown) =>
      this.#logger.error({ err: error, entries: this.#pending.size }, 'what was used cannot be written down'),
    );
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await sleep(WRITE_MILLISECONDS, undefined, { signal: this.#stop.signal, ref: false }).catch(() => {});
      if (this.#stop.signal.aborted) return;
      try {
        await this.#inTurn(async () => {
          await this.#write();
          await this.#read();
        });
        if (this.#isAway) this.#logger.info('what was used is written down again');
        this.#isAway = false;
      } catch (error) {
        if (!this.#isAway) this.#logger.error({ err: error }, 'what was used cannot be written down now');
        this.#isAway = true;
      }
    }
  }

  async #write(): Promise<void> {
    this.#reader.mark();
    const entries = [...this.#pending.values()];
    if (entries.length === 0) return;
    this.#pending = new Map();
    try {
      await withoutDisk(this.#database, async (transaction) => {
        // In one order at every gateway: else two could wait for each other.
        for (const { promptTokens, cachedTokens, completionTokens, ...entry } of entries.toSorted(compare)) {
          const row = {
            ...entry,
            prompt_tokens: promptTokens,
            cached_tokens: cachedTokens,
            completion_tokens: completionTokens,
          };
          await transaction
            .insertInto('spend')
            .values(row)
            .onConflict((conflict) =>
              conflict.columns(['tenant', 'day', 'key', 'model']).doUpdateSet((eb) => ({
                requests: eb('spend.requests', '+', row.requests),
                prompt_tokens: eb('spend.prompt_tokens', '+', row.prompt_tokens),
                cached_tokens: eb('spend.cached_tokens', '+', row.cached_tokens),
                completion_tokens: eb('spend.completion_tokens', '+', row.completion_tokens),
                money: eb('spend.money', '+', row.money),
              })),
            )
            .execute();
        }
      });
    } catch (error) {
      // It is written with what comes next.
      for (const entry of entries) this.#merge(entry);
      throw error;
    }
  }

  async #read(): Promise<void> {
    if (performance.now() - this.#readAt < READ_MILLISECONDS) return;
    this.#readAt = performance.now();
    const subjects = this.#reader.subjects();
    const begin = this.#readTo < subjects.length ? this.#readTo : 0;
    this.#readTo = begin + AT_ONCE;
    for (const subject of subjects.slice(begin, this.#readTo)) {
      this.#reader.take(subject, await this.#sums(subject));
    }
  }

  /** One piece of work after the other: sums that are read have in them just what was written before. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }

  #merge(entry: Entry): void {
    const id = [entry.day, entry.tenant, entry.key, entry.model].join('\0');
    const sum = this.#pending.get(id);
    if (sum === undefined) {
      this.#pending.set(id, entry);
      return;
    }
    sum.requests += entry.requests;
    sum.promptTokens += entry.promptTokens;
    sum.cachedTokens += entry.cachedTokens;
    sum.completionTokens += entry.completionTokens;
    sum.money += entry.money;
  }
}

function compare(a: Entry, b: Entry): number {
  const [left, right] = [a, b].map(({ tenant, day, key, model }) => [tenant, day, key, model].join('\0'));
  return (left ?? '') < (right ?? '') ? -1 : 1;
}
