import { audit, type Database, inTurn } from '@polylora/adapters-store';
import { tenantTransaction } from './tables.ts';

/** Who does something, as the audit log names it: `operator`, or a tenant and its key. */
export type Actor = string;

/** What an entry of the audit log tells, beside who and when. */
export interface Act {
  readonly action: string;
  /** `tenant:acme`, `key:key_…` or `price:base`: gateways that hold a copy of it read it anew. */
  readonly subject: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Does it, and says what was done; null: nothing was. */
type Work<Result> = (
  transaction: ReturnType<typeof tenantTransaction>,
  at: number,
) => Promise<[Result, Act | null]>;

/** Administrative changes: one after the other, each with its entry in the audit log of all of them. */
export class TenantChanges {
  readonly #database: Database;
  readonly #clock: () => number;
  readonly #onChange: () => Promise<void>;

  /** @param onChange after each: what was changed here holds here when its request is answered */
  constructor(database: Database, clock: () => number, onChange: () => Promise<void>) {
    this.#database = database;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  async do<Result>(actor: Actor, work: Work<Result>): Promise<Result> {
    const result = await inTurn(this.#database, async (transaction) => {
      const at = this.#clock();
      const [done, act] = await work(tenantTransaction(transaction), at);
      if (act !== null) {
        const { action, subject, details = {} } = act;
        await audit(transaction, { at, actor, action, subject, details });
      }
      return done;
    });
    await this.#onChange();
    return result;
  }
}
