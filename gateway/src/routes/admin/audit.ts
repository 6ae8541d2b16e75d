import {
  type AuditRecord,
  type AuditVerification,
  auditEntries,
  type Database,
  verifyAudit,
} from '@polylora/adapters-store';
import { type Context, Hono } from 'hono';
import type { GatewayEnv } from '../../http/context.ts';
import { invalidValue, textValue } from '../../openai/fields.ts';
import { opened } from './asked.ts';
import { assertQuery, pageBody, pageOf, queryInteger } from './paging.ts';

const NUMBERS = { min: 1, max: 2 ** 31 - 1 } as const;
const LONGEST = 256;

/**
 * `/admin/v1/audit`: an operator's. What was done, the newest first.
 *
 * | | |
 * | --- | --- |
 * | `GET /?tenant=&actor=&action=&subject=` | entries; `tenant` is whose keys did it |
 * | `GET /verify` | whether all entries are what was written |
 */
export function adminAudit(database: () => Database | null): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>();
  app.get('/', async (c) => {
    assertQuery(c, ['tenant', 'actor', 'action', 'subject', 'limit', 'after']);
    const { asked, limit, after } = pageOf(c);
    const found = await auditEntries(opened(database()), {
      limit,
      before: after === null ? null : queryInteger(after, 'after', NUMBERS),
      tenant: filterOf(c, 'tenant'),
      actor: filterOf(c, 'actor'),
      action: filterOf(c, 'action'),
      subject: filterOf(c, 'subject'),
    });
    return c.json(pageBody(found.map(entryBody), asked, (entry) => entry));
  });
  app.get('/verify', async (c) => c.json(verificationBody(await verifyAudit(opened(database())))));
  return app;
}

function filterOf(c: Context<GatewayEnv>, param: string): string | null {
  const given = c.req.query(param);
  if (given === undefined) return null;
  // No entry has any.
  if (/\p{Cc}/u.test(given)) throw invalidValue(param, 'it has control characters.');
  return textValue(given, param, LONGEST);
}

function entryBody({ sequence, at, actor, action, subject, details, hash }: AuditRecord) {
  const created = Math.floor(at / 1000);
  return { id: String(sequence), object: 'audit.entry', created, actor, action, subject, details, hash };
}

function verificationBody({ brokenAt, entries, hash }: AuditVerification): object {
  return {
    object: 'audit.verification',
    valid: brokenAt === null,
    entries,
    hash,
    broken_at: brokenAt === null ? null : String(brokenAt),
  };
}
