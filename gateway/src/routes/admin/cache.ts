import { audit, type Database, inTurn } from '@polylora/adapters-store';
import { errorEvent } from '@polylora/engine';
import { type Context, Hono } from 'hono';
import { apiErrorOf } from '../../backends/failure.ts';
import type { CacheHost } from '../../cache/cache-host.ts';
import type { EntryFilter, ListedHead } from '../../cache/documents/document-store.ts';
import { ApiError } from '../../errors.ts';
import type { GatewayEnv } from '../../http/context.ts';
import { readJsonBody } from '../../http/json-body.ts';
import { choiceValue, invalidValue, missing } from '../../openai/fields.ts';
import { parse } from '../../openai/parse.ts';
import type { SteadyClock } from '../../steady-clock.ts';
import { tenantNotFound } from '../../tenants/tenants.ts';
import { opened } from './asked.ts';
import {
  cacheBody,
  categoryBody,
  classifyBody,
  entryBody,
  entryFilters,
  FILTERS,
  purgeBody,
} from './cache-body.ts';
import { type CacheDeps, entryNotFound, ofStore, openedCache } from './opened-cache.ts';
import { assertQuery, pageOf } from './paging.ts';
import { actorName, scopeOf } from './tenancy.ts';

const BODY_LIMIT_BYTES = 256 << 10;
/** Each is read from the store by itself. */
const MOST_QUESTIONS = 100;
/** Where a page ended: entries are ordered by when they were made, and the last may be gone by then. */
const CURSOR = /^(\d{1,15})\.([\w-]{1,64})$/;

export interface AdminCacheDeps extends CacheDeps {
  /** null until it is open. */
  readonly database: () => Database | null;
  readonly clock: SteadyClock;
}

/**
 * `/admin/v1/cache`: all tenants' for an operator, its own for an administrator of a tenant. Answers are never shown.
 *
 * | | |
 * | --- | --- |
 * | `GET /?tenant=` | what there is, and what it costs and saves |
 * | `GET /entries?tenant=&model=&root=&category=&tag=&questions=true` | the newest first |
 * | `GET /entries/{id}?questions=true`, `DELETE /entries/{id}` | |
 * | `POST /entries/{id}/report` | an answer was wrong: that counts, and it is taken out |
 * | `POST /purge` | the same filters or an `id`, or `all`, and perhaps `dry_run` |
 * | `GET /categories` | as they are configured |
 * | `POST /classify` | `text`: which category a question would be of |
 */
export function adminCache(deps: AdminCacheDeps): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>();
  const host = () => openedCache(deps);
  /** Beside what was done: the audit log is in another database than the entries. */
  const told = (c: Context<GatewayEnv>, action: string, subject: string, details: Act['details']) =>
    write(opened(deps.database()), { at: deps.clock.now(), actor: actorName(c), action, subject, details });
  app.get('/', (c) => {
    assertQuery(c, ['tenant']);
    return c.json(cacheBody(host(), tenantOf(c, c.req.query('tenant'))));
  });
  app.get('/entries', (c) => ofStore(() => list(c, host())));
  app.get('/entries/:id', (c) =>
    ofStore(async () => {
      assertQuery(c, ['questions']);
      const { cache } = host();
      const entry = await entryOf(c, host());
      const question = asksForQuestions(c) ? await cache.questionOf(entry.id) : undefined;
      return c.json(entryBody(entry, question));
    }),
  );
  app.delete('/entries/:id', (c) =>
    ofStore(async () => {
      const { id, tenant, model, category } = await entryOf(c, host());
      await host().cache.kept.remove([id], 'purged');
      await told(c, 'cache.remove', `cache:${id}`, { tenant, model, category });
      return c.json({ id, deleted: true });
    }),
  );
  app.post('/entries/:id/report', (c) =>
    ofStore(async () => {
      const id = c.req.param('id');
      if (!(await host().report(id, scopeOf(c)))) throw entryNotFound(id);
      await told(c, 'cache.report', `cache:${id}`, {});
      return c.json({ id, object: 'cache.report', reported: true });
    }),
  );
  app.post('/purge', (c) =>
    ofStore(async () => {
      const body = parse(purgeBody, await readJsonBody(c, BODY_LIMIT_BYTES));
      const { dry_run: dryRun, all, ...given } = body;
      const filter = filterOf(c, given);
      const isFiltered = Object.values(given).some((value) => value != null);
      if (all && isFiltered) throw invalidValue('all', 'it is for what no filter is given for.');
      if (!all && !isFiltered) throw missing('all');
      const { cache } = host();
      const isDryRun = dryRun ?? false;
      if (isDryRun) return c.json(purgedBody(await cache.kept.purge(filter, true), isDryRun));
      const purged = await cache.kept.purge(filter, false).catch(async (error: unknown) => {
        // What was in memory is gone.
        await told(c, 'cache.purge', 'cache', { ...filter, complete: false });
        throw error;
      });
      await told(c, 'cache.purge', 'cache', { ...filter, ...purged });
      return c.json(purgedBody(purged, isDryRun));
    }),
  );
  app.get('/categories', (c) => {
    assertQuery(c, []);
    const data = [...host().categories.all()].map(categoryBody);
    return c.json({ object: 'list', data, has_more: false });
  });
  app.post('/classify', async (c) => {
    const { text } = parse(classifyBody, await readJsonBody(c, BODY_LIMIT_BYTES));
    return c.json(await classification(host(), text));
  });
  return app;
}

type Act = Parameters<typeof audit>[1];

function write(database: Database, act: Act): Promise<void> {
  return inTurn(database, (transaction) => audit(transaction, act));
}

async function list(c: Context<GatewayEnv>, host: CacheHost): Promise<Response> {
  assertQuery(c, [...FILTERS, 'questions', 'limit', 'after']);
  const { cache } = host;
  const { asked, limit, after } = pageOf(c);
  const showsQuestions = asksForQuestions(c);
  if (showsQuestions && asked > MOST_QUESTIONS) {
    throw invalidValue('limit', `with questions a page has at most ${MOST_QUESTIONS} entries.`);
  }
  const filter = filterOf(c, parse(entryFilters, c.req.query()));
  const found = await cache.list(filter, { limit, ...(after === null ? {} : { before: cursorOf(after) }) });
  const page = found.slice(0, asked);
  const questions = showsQuestions ? await Promise.all(page.map(({ id }) => cache.questionOf(id))) : [];
  const last = page.at(-1);
  return c.json({
    object: 'list',
    // The store is told of hits every few seconds.
    data: page.map((head, index) => entryBody(cache.entry(head.id) ?? head, questions[index])),
    last_id: last === undefined ? null : `${last.createdAt}.${last.id}`,
    has_more: found.length > asked,
  });
}

function cursorOf(after: string): { readonly createdAt: number; readonly id: string } {
  const [, createdAt, id] = CURSOR.exec(after) ?? [];
  if (id === undefined) throw invalidValue('after', "it is the 'last_id' of the page before.");
  return { createdAt: Number(createdAt), id };
}

function asksForQuestions(c: Context<GatewayEnv>): boolean {
  const { questions = 'false' } = c.req.query();
  return choiceValue(questions, 'questions', ['true', 'false'] as const) === 'true';
}

/** @throws ApiError tenant_not_found for another tenant's, to an administrator of one */
function tenantOf(c: Context<GatewayEnv>, given: string | null | undefined): string | null {
  const scope = scopeOf(c);
  if (given == null) return scope;
  if (scope !== null && given !== scope) throw tenantNotFound(given);
  return given;
}

function filterOf(
  c: Context<GatewayEnv>,
  given: { readonly [K in keyof EntryFilter]?: string | null | undefined },
): EntryFilter {
  const filter = { ...given, tenant: tenantOf(c, given.tenant) };
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value != null));
}

/** @throws ApiError cache_entry_not_found, also for another tenant's */
async function entryOf(c: Context<GatewayEnv>, { cache }: CacheHost): Promise<ListedHead> {
  const id = c.req.param('id') ?? '';
  const entry = await cache.head(id, scopeOf(c));
  if (entry === null) throw entryNotFound(id);
  return entry;
}

function purgedBody({ entries, bytes }: { entries: number; bytes: number }, isDryRun: boolean): object {
  return { object: 'cache.purge', dry_run: isDryRun, entries, bytes };
}

async function classification(host: CacheHost, text: string): Promise<object> {
  if (!host.isSemantic) {
    const message = 'This cache answers equal questions only: nothing tells what category a question is of.';
    throw new ApiError('cache_disabled', message);
  }
  const found = await host.classify(text).catch((error: unknown) => {
    throw apiErrorOf(errorEvent(error));
  });
  if (found === null)
    throw new ApiError('engine_unavailable', 'The embedding model cannot be used; the log says why.');
  return {
    object: 'cache.classification',
    category: found.category.name,
    similarities: found.near.map(({ category, similarity }) => ({ category: category.name, similarity })),
  };
}
