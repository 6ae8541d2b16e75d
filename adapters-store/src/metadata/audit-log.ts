import { createHash } from 'node:crypto';
import type { Transaction } from 'kysely';
import type { Database } from './database.ts';
import type { Tables } from './tables.ts';

/** An administrative act. */
export interface AuditEntry {
  readonly at: number;
  /** Who did it. */
  readonly actor: string;
  readonly action: string;
  /** What it was done to. */
  readonly subject: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** Before the first entry. */
const GENESIS = '0'.repeat(64);
/** Entries read at once. */
const PAGE = 1_000;

/**
 * Adds an entry to the log, in the transaction that does what it tells of: both are there, or neither. Transactions that
 * write come one after the other (`inTurn`).
 * Each entry's hash covers the hash before it, so that none can be changed, taken out or put between unnoticed.
 */
export async function audit(transaction: Transaction<Tables>, entry: AuditEntry): Promise<void> {
  const last = await transaction
    .selectFrom('audit')
    .select(['sequence', 'hash'])
    .orderBy('sequence', 'desc')
    .limit(1)
    .executeTakeFirst();
  const previous = last?.hash ?? GENESIS;
  const sequence = (last?.sequence ?? 0) + 1;
  const details = JSON.stringify(entry.details);
  const { at, actor, action, subject } = entry;
  const hash = hashOf({ sequence, at, actor, action, subject, details, previous });
  await transaction
    .insertInto('audit')
    .values({ sequence, at, actor, action, subject, details, previous, hash })
    .execute();
}

/** The number of the first entry that is not what was written, or null where all are. */
export async function findTampering(database: Database): Promise<number | null> {
  let [previous, expected] = [GENESIS, 1];
  for (;;) {
    const rows = await database
      .selectFrom('audit')
      .selectAll()
      .where('sequence', '>=', expected)
      .orderBy('sequence')
      .limit(PAGE)
      .execute();
    for (const row of rows) {
      if (row.sequence !== expected || row.previous !== previous || row.hash !== hashOf(row)) return expected;
      previous = row.hash;
      expected++;
    }
    if (rows.length < PAGE) return null;
  }
}

type Hashed = Readonly<Record<'actor' | 'action' | 'subject' | 'details' | 'previous', string>> & {
  readonly sequence: number;
  readonly at: number;
};

function hashOf({ sequence, at, actor, action, subject, details, previous }: Hashed): string {
  // An array of strings and numbers in JSON has one reading only.
  const text = JSON.stringify(['polylora-audit-v1', sequence, at, actor, action, subject, details, previous]);
  return createHash('sha256').update(text).digest('hex');
}
