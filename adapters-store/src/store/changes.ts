import type { Transaction } from 'kysely';
import { audit } from '../metadata/audit-log.ts';
import { type Database, inTurn } from '../metadata/database.ts';
import type { Tables } from '../metadata/tables.ts';
import type { Principal } from './principal.ts';
import { notFound } from './rules.ts';

/** What is done to the metadata: one change after the other, each with its entry in the audit log. */
export class Changes {
  readonly #database: Database;
  readonly #clock: () => number;

  constructor(database: Database, clock: () => number) {
    this.#database = database;
    this.#clock = clock;
  }

  /** Milliseconds since 1970. */
  now(): number {
    return this.#clock();
  }

  /** A change of one of the actor's own adapters, with its entry in the audit log. */
  async own(
    name: string,
    actor: Principal,
    change: (
      transaction: Transaction<Tables>,
      at: number,
    ) => Promise<{ action: string; details: Readonly<Record<string, unknown>> }>,
  ): Promise<void> {
    await this.inTurn(async (transaction) => {
      const adapter = await transaction
        .selectFrom('adapter')
        .select('owner')
        .where('name', '=', name)
        .executeTakeFirst();
      // Who may only use it is told the same as who may not even know of it.
      if (adapter === undefined || adapter.owner !== actor.tenant)
        throw notFound(`there is no adapter '${name}'`);
      const at = this.now();
      const { action, details } = await change(transaction, at);
      await this.audit(transaction, actor, action, name, details, at);
    });
  }

  inTurn<Result>(work: (transaction: Transaction<Tables>) => Promise<Result>): Promise<Result> {
    return inTurn(this.#database, work);
  }

  audit(
    transaction: Transaction<Tables>,
    actor: Principal,
    action: string,
    subject: string,
    details: Readonly<Record<string, unknown>>,
    at: number,
  ): Promise<void> {
    return audit(transaction, { at, actor: actor.actor ?? actor.tenant, action, subject, details });
  }
}
