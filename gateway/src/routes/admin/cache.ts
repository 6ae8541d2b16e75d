import { audit, type Database, inTurn } from '@polylora/adapters-store';
import { errorEvent } from '@polylora/engine';
import { type Context, Hono } from 'hono';
import { operatorsOnly } from '../../access/authenticate.ts';
import { apiErrorOf } from '../../backends/failure.ts';
import type { CacheHost } from '../../cache/cache-host.ts';
import { MOST_STORED_CATEGORIES } from '../../cache/categories/stored-categories.ts';
import { type EntryFilter, type ListedHead, StoreUnavailable } from '../../cache/documents/document-store.ts';
import { ApiError } from '../../errors.ts';
import type { GatewayEnv } from '../../http/context.ts';
import { readJsonBody } from '../../http/json-body.ts';
import { choiceValue, invalidValue, missing, quoted } from '../../openai/fields.ts';
import { parse } from '../../openai/parse.ts';
import type { SteadyClock } from '../../steady-clock.ts';
import { tenantNotFound } from '../../tenants/tenants.ts';
import { opened } from './asked.ts';
import {
  cacheBody,
  classifyBody,
  entryBody,
  entryFilters,
  explainBody,
  explanationBody,
  FILTERS,
  hitBody,
  purgeBody,
} from './cache-body.ts';
import { categoryBody, categoryValuesBody, namedCategory, previewBody, valuesOf } from './category-body.ts';
import { type CacheDeps, entryNotFound, ofStore, openedCache } from './opened-cache.ts';
import { assertQuery, pageOf, queryInteger } from './paging.ts';
import { actorName, scopeOf } from './tenancy.ts';

const BODY_LIMIT_BYTES = 256 << 10;
/** A category's examples are a thousand characters each, and up to a thousand. */
const CATEGORY_LIMIT_BYTES = 2 << 20;
const HITS = { min: 1, max: 200, usual: 50 } as const;
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
 * | `GET /entries?tenant=&model=&root=&category=&tag=&q=&questions=true` | the newest first |
 * | `GET /entries/{id}?questions=true`, `DELETE /entries/{id}` | |
 * | `POST /entries/{id}/report` | an answer was wrong: that counts, and it is taken out |
 * | `POST /purge` | the same filters or an `id`, or `all`, and perhaps `dry_run` |
 * | `GET /categories` | as they are configured |
 * | `PUT /categories/{name}`, `DELETE /categories/{name}` | other values than in the configuration, and those again: operators only |
 * | `POST /categories/{name}/preview` | what other thresholds would have answered of what was asked lately |
 * | `POST /classify` | `text`: which category a question would be of |
 * | `POST /explain` | `question`: what is near it, and whether and why that would answer it |
 * | `GET /hits?limit=` | answers that were given again lately, and why |
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
    const open = host();
    const data = [...open.categories.all()].map((each) => categoryBody(each, open.sourceOf(each.name)));
    return c.json({ object: 'list', data, has_more: false });
  });
  app.post('/classify', async (c) => {
    const { text } = parse(classifyBody, await readJsonBody(c, BODY_LIMIT_BYTES));
    return c.json(await classification(host(), text));
  });
  app.post('/explain', (c) => ofStore(() => explained(c, host())));
  app.get('/hits', async (c) => c.json(await hits(c, host())));
  app.post('/categories/:name/preview', (c) => ofStore(() => previewed(c, host())));
  app.put('/categories/:name', operatorsOnly(), async (c) => {
    const { name } = parse(namedCategory, c.req.param());
    const values = valuesOf(parse(categoryValuesBody, await readJsonBody(c, CATEGORY_LIMIT_BYTES)), name);
    if (!(await host().setCategory(name, values, actorName(c))))
      throw invalidValue('name', `there are ${MOST_STORED_CATEGORIES} categories already that were set so.`);
    return c.json(categoryBody(host().categories.get(name), host().sourceOf(name)));
  });
  app.delete('/categories/:name', operatorsOnly(), async (c) => {
    const { name } = c.req.param();
    if (!(await host().resetCategory(name, actorName(c)))) throw categoryNotFound(name, ' that was set here');
    return c.json({ name, deleted: true });
  });
  return app;
}

type Act = Parameters<typeof audit>[1];

function write(database: Database, act: Act): Promise<void> {
  return inTurn(database, (transaction) => audit(transaction, act));
}

async function list(c: Context<GatewayEnv>, host: CacheHost): Promise<Response> {
  assertQuery(c, [...FILTERS, 'q', 'questions', 'limit', 'after']);
  const { cache } = host;
  const { asked, limit, after } = pageOf(c);
  const showsQuestions = asksForQuestions(c);
  if (showsQuestions && asked > MOST_QUESTIONS) {
    throw invalidValue('limit', `with questions a page has at most ${MOST_QUESTIONS} entries.`);
  }
  const { q = null, ...given } = parse(entryFilters, c.req.query());
  const filter = filterOf(c, given);
  const from = after === null ? {} : { before: cursorOf(after) };
  // The store is told of hits every few seconds.
  const bodyOf = (head: ListedHead, question?: string | null) =>
    entryBody(cache.entry(head.id) ?? head, question);
  if (q !== null) {
    const { found, last } = await cache.search(filter, q.trim().split(/\s+/), { limit: asked, ...from });
    return c.json({
      object: 'list',
      data: found.map((head) => bodyOf(head, showsQuestions ? head.question : undefined)),
      last_id: cursorAfter(last ?? found.at(-1)),
      has_more: last !== null,
    });
  }
  const found = await cache.list(filter, { limit, ...from });
  const page = found.slice(0, asked);
  const questions = showsQuestions ? await Promise.all(page.map(({ id }) => cache.questionOf(id))) : [];
  return c.json({
    object: 'list',
    data: page.map((head, index) => bodyOf(head, questions[index])),
    last_id: cursorAfter(page.at(-1)),
    has_more: found.length > asked,
  });
}

function cursorAfter(head: ListedHead | undefined): string | null {
  return head === undefined ? null : `${head.createdAt}.${head.id}`;
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

async function explained(c: Context<GatewayEnv>, host: CacheHost): Promise<Response> {
  const body = parse(explainBody, await readJsonBody(c, BODY_LIMIT_BYTES));
  const { question: text, category = null, model = null } = body;
  const tenant = tenantOf(c, body.tenant);
  if (category !== null && !host.categories.has(category)) {
    const known = host.categories.names.join(', ');
    throw invalidValue('category', `there is no category '${quoted(category)}': ${known}.`);
  }
  const found = await embedded(host, () => host.explain({ text, category, tenant, model }));
  if (found.isCut) {
    const message =
      'it is longer than the embedding model reads: only the same question would find its answer.';
    throw invalidValue('question', message);
  }
  return c.json(explanationBody(found, category !== null));
}

async function previewed(c: Context<GatewayEnv>, host: CacheHost): Promise<Response> {
  const values = valuesOf(parse(previewBody, await readJsonBody(c, BODY_LIMIT_BYTES)));
  assertSemantic(host);
  const name = c.req.param('name') ?? '';
  if (!host.categories.has(name)) throw categoryNotFound(name);
  const { cache, categories } = host;
  const found = await cache.review.preview(categories.get(name), values, scopeOf(c));
  return c.json({ lookups: found.lookups, hits_now: found.hitsNow, hits_then: found.hitsThen });
}

async function hits(c: Context<GatewayEnv>, host: CacheHost): Promise<object> {
  assertQuery(c, ['limit']);
  const { limit = String(HITS.usual) } = c.req.query();
  const found = host.hits(scopeOf(c), queryInteger(limit, 'limit', HITS));
  const questions = await host.cache.questionsOf(found.flatMap(({ entryId }) => entryId ?? []));
  return { data: found.map((hit) => hitBody(hit, questions.get(hit.entryId ?? '') ?? null)) };
}

function categoryNotFound(name: string, detail = ''): ApiError {
  return new ApiError('cache_category_not_found', `The cache has no category '${quoted(name)}'${detail}.`);
}

/** @throws ApiError cache_disabled */
function assertSemantic(host: CacheHost): void {
  if (host.isSemantic) return;
  const message = 'This cache answers equal questions only: nothing tells what category a question is of.';
  throw new ApiError('cache_disabled', message);
}

/** What needs the embedding model. @throws ApiError where there is none, or it cannot be used */
async function embedded<T>(host: CacheHost, work: () => Promise<T | null>): Promise<T> {
  assertSemantic(host);
  const made = await work().catch((error: unknown) => {
    throw error instanceof StoreUnavailable ? error : apiErrorOf(errorEvent(error));
  });
  if (made !== null) return made;
  throw new ApiError('engine_unavailable', 'The embedding model cannot be used; the log says why.');
}

async function classification(host: CacheHost, text: string): Promise<object> {
  const found = await embedded(host, () => host.classify(text));
  return {
    object: 'cache.classification',
    category: found.category.name,
    similarities: found.near.map(({ category, similarity }) => ({ category: category.name, similarity })),
  };
}
