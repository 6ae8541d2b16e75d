import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { sql, type Transaction } from 'kysely';
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
/** Entries read at once: a few milliseconds. */
const PAGE = 1_000;
/** No entry has such a number, whoever put it there: the least that PostgreSQL's column can have. */
const BEFORE_ALL = -(2 ** 31);

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

/** An entry as it was written down. */
export interface AuditRecord extends Omit<AuditEntry, 'details'> {
  /** Entries are numbered from one on. */
  readonly sequence: number;
  /** What they were when they were written; a text that is no JSON where somebody changed them. */
  readonly details: unknown;
  readonly hash: string;
}

/** Which entries; null: any. */
export interface AuditQuery {
  readonly limit: number;
  /** Only those before this one. */
  readonly before: number | null;
  /** Whose keys did it. */
  readonly tenant: string | null;
  readonly actor: string | null;
  readonly action: string | null;
  readonly subject: string | null;
}

/** The newest first. However long the log is, others run meanwhile: SQLite's queries are done in this thread. */
export async function auditEntries(database: Database, query: AuditQuery): Promise<AuditRecord[]> {
  const { limit, before, tenant } = query;
  const found: AuditRecord[] = [];
  const next = (await lastAuditSequence(database)) + 1;
  for (let end = Math.min(before ?? next, next); end > 0 && found.length < limit; end -= PAGE) {
    let page = database
      .selectFrom('audit')
      .select(['sequence', 'at', 'actor', 'action', 'subject', 'details', 'hash'])
      .where('sequence', '<', end)
      .where('sequence', '>=', end - PAGE)
      .orderBy('sequence', 'desc')
      .limit(limit - found.length);
    for (const field of ['actor', 'action', 'subject'] as const) {
      const value = query[field];
      if (value !== null) page = page.where(field, '=', value);
    }
    if (tenant !== null) page = page.where(isOf(tenant));
    for (const row of await page.execute()) found.push({ ...row, details: parsed(row.details) });
    await setImmediate();
  }
  return found;
}

/** What checking the whole log finds. */
export interface AuditVerification {
  /** Number of the first entry that is not what was written; null where all are. */
  readonly brokenAt: number | null;
  /** Those before it. */
  readonly entries: number;
  /** Of the last of them: whoever noted an earlier one can tell whether the log was cut off at its end. */
  readonly hash: string;
}

/** Looks for the first entry that is not what was written. Others run meanwhile. */
export async function verifyAudit(database: Database): Promise<AuditVerification> {
  let [hash, expected] = [GENESIS, 1];
  for (let after = BEFORE_ALL; ; after = expected - 1) {
    const rows = await database
      .selectFrom('audit')
      .selectAll()
      .where('sequence', '>', after)
      .orderBy('sequence')
      .limit(PAGE)
      .execute();
    for (const row of rows) {
      if (row.sequence !== expected || row.previous !== hash || row.hash !== hashOf(row))
        return { brokenAt: expected, entries: expected - 1, hash };
      hash = row.hash;
      expected++;
    }
    if (rows.length < PAGE) return { brokenAt: null, entries: expected - 1, hash };
    await setImmediate();
  }
}

/** The number of the newest entry; 0: there is none. */
export async function lastAuditSequence(database: Database): Promise<number> {
  const row = await database
    .selectFrom('audit')
    .select('sequence')
    .orderBy('sequence', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row?.sequence ?? 0;
}

/** A tenant's actors are its name, and that with its keys' ids. */
function isOf(tenant: string) {
  const start = `${tenant}/`;
  // Not `like`, which reads some characters as others.
  return sql<boolean>`(actor = ${tenant} or substr(actor, 1, ${[...start].length}) = ${start})`;
}

function parsed(details: string): unknown {
  try {
    return JSON.parse(details);
  } catch {
    return details;
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
