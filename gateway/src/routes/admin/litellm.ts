import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { ApiError } from '../../errors.ts';
import type { GatewayEnv } from '../../http/context.ts';
import { readOptionalJsonBody } from '../../http/json-body.ts';
import { invalidValue, quoted, unsupported } from '../../openai/fields.ts';
import { parse } from '../../openai/parse.ts';
import { isKeyText } from '../../tenants/key-hash.ts';
import type { KeyFields, KeyFilter } from '../../tenants/keys.ts';
import { moneyOf } from '../../tenants/limits.ts';
import { spendRows } from '../../tenants/spend-views.ts';
import { type ApiKey, OPERATOR_TENANT } from '../../tenants/tenant.ts';
import { createKey, fieldsOf, updateKey } from './keys.ts';
import { graceSeconds, keyFieldsOf, litellmFields, litellmInfo, withoutNeutral } from './litellm-fields.ts';
import { queryInteger } from './paging.ts';
import { actorName, openedTenants, scopeOf, type TenancyDeps } from './tenancy.ts';

const BODY_LIMIT_BYTES = 256 << 10;
const PAGE = { min: 1, max: 100, usual: 10 } as const;
const PAGE_NUMBER = { min: 1, max: 10_000 } as const;
const MOST_DELETED = 100;
const LOOKED_AT_ONCE = 500;
/** Others would list, and have a script delete, keys that it did not ask for. */
const LIST_PARAMS: ReadonlySet<string> = new Set([
  ...['page', 'size', 'team_id', 'user_id', 'key_alias', 'key_hash', 'return_full_object'],
  // Which keys are listed does not depend on them.
  ...['sort_order', 'expand'],
]);
const NO_FILTER = 'is not something that keys are listed by here';

const name = z.string().min(1).max(512);
const generateFields = { ...litellmFields, team_id: z.string().min(1).max(63).nullish() };
const generateBody = z.object(generateFields);
const updateFields = { ...litellmFields, key: name };
const updateBody = z.object(updateFields);
const regenerateFields = { ...updateFields, grace_period: z.string().max(16).nullish() };
const regenerateBody = z.object(regenerateFields);
const regenerateNamed = z.object({ ...regenerateFields, key: z.unknown().optional() });
const blockBody = z.object({ key: name });
const deleteFields = {
  keys: z.array(name).max(MOST_DELETED).nullish(),
  key_aliases: z.array(name).max(MOST_DELETED).nullish(),
};
const deleteBody = z.object(deleteFields);

const NEW_KEY: KeyFields = {
  role: 'user',
  alias: null,
  blocked: false,
  models: ['*'],
  limits: {},
  metadata: {},
  expiresAt: null,
};

/**
 * LiteLLM's `/key/…`, for scripts that were written for its proxy: a team is a tenant here, and a key is named by its text or
 * by its id. Fields that ask for what this server does not do are refused by name.
 */
export function litellmKeys(deps: TenancyDeps): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>();
  const opened = () => openedTenants(deps);
  const read = async <S extends z.ZodType>(c: Context<GatewayEnv>, schema: S, fields: object) =>
    parse(schema, withoutNeutral(await readOptionalJsonBody(c, BODY_LIMIT_BYTES), { ...fields }));
  const info = (key: ApiKey, spend: number) => litellmInfo(key, spend, opened().clock.now());

  app.post('/generate', async (c) => {
    const { team_id: team, ...given } = await read(c, generateBody, generateFields);
    const fields = keyFieldsOf(given, NEW_KEY, opened().clock.now());
    const { key, text } = await createKey(c, deps, team ?? null, fields);
    if (key.tenant === OPERATOR_TENANT && team == null)
      deps.logger.warn(
        { key: key.id },
        "a key was made without a 'team_id', and is the operator's: its tenant has no limits and no budget",
      );
    return c.json({ ...info(key, 0), key: text });
  });
  app.post('/update', async (c) => {
    const { key: named, ...given } = await read(c, updateBody, updateFields);
    const now = opened().clock.now();
    const key = await updateKey(c, deps, await idOf(named), (old) => keyFieldsOf(given, fieldsOf(old), now));
    return c.json({ key: key.id, ...info(key, await spendOf(key)) });
  });
  app.post('/regenerate', async (c) => {
    const { key: named, ...given } = await read(c, regenerateBody, regenerateFields);
    return regenerated(c, named, given);
  });
  // The key in the path is the one that is meant, as LiteLLM has it.
  app.post('/:key/regenerate', async (c) => {
    const { key: _, ...given } = await read(c, regenerateNamed, regenerateFields);
    return regenerated(c, c.req.param('key'), given);
  });
  async function regenerated(
    c: Context<GatewayEnv>,
    named: string,
    { grace_period: grace, ...given }: Omit<z.infer<typeof regenerateNamed>, 'key'>,
  ): Promise<Response> {
    const overlapSeconds = graceSeconds(grace);
    const id = await idOf(named);
    const now = opened().clock.now();
    // Clients write LiteLLM's whole form, with nulls where they change nothing: nobody's key is freed of its limits by a rotation.
    const changes = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null));
    // Before the text, which is shown once: where this is refused, the key is as it was.
    if (Object.keys(changes).length > 0)
      await updateKey(c, deps, id, (old) => keyFieldsOf(changes, fieldsOf(old), now));
    const { key, text } = await opened().keys.rotate(id, scopeOf(c), overlapSeconds, actorName(c));
    return c.json({ ...info(key, await spendOf(key)), key: text });
  }
  for (const blocked of [true, false]) {
    app.post(blocked ? '/block' : '/unblock', async (c) => {
      const { key: named } = await read(c, blockBody, blockBody.shape);
      const key = await updateKey(c, deps, await idOf(named), (old) => ({ ...fieldsOf(old), blocked }));
      return c.json(info(key, await spendOf(key)));
    });
  }
  app.post('/delete', async (c) => {
    const { keys, key_aliases: aliases } = await read(c, deleteBody, deleteFields);
    if ((keys ?? []).length + (aliases ?? []).length === 0) {
      const message = "Missing required parameter: 'keys' or 'key_aliases', a list of at least one.";
      throw new ApiError('missing_required_parameter', message, 'keys');
    }
    const ids = await Promise.all([
      ...(keys ?? []).map((each) => idOf(each)),
      ...(aliases ?? []).map((each, index) => idOfAlias(each, scopeOf(c), `key_aliases[${index}]`)),
    ]);
    // All are there before the first is gone.
    for (const id of ids) await opened().keys.find(id, scopeOf(c));
    for (const id of new Set(ids)) await opened().keys.remove(id, scopeOf(c), actorName(c));
    return c.json({ deleted_keys: [...(keys ?? []), ...(aliases ?? [])] });
  });
  app.get('/info', async (c) => {
    const named = c.req.query('key') ?? c.get('access').principal.key;
    if (named === null)
      throw new ApiError('key_not_found', "The key that asks is the configuration's own; name one by 'key'.");
    const key = await opened().keys.find(await idOf(named), scopeOf(c));
    return c.json({ key: key.id, info: info(key, await spendOf(key)) });
  });
  app.get('/list', async (c) => {
    const query = c.req.query();
    for (const [param, value] of Object.entries(query))
      if (!LIST_PARAMS.has(param) && value !== '' && value !== 'false') throw unsupported(param, NO_FILTER);
    const size = query.size === undefined ? PAGE.usual : queryInteger(query.size, 'size', PAGE);
    const page = query.page === undefined ? 1 : queryInteger(query.page, 'page', PAGE_NUMBER);
    const scope = scopeOf(c);
    const team = query.team_id ?? scope;
    const filter = {
      ...(query.key_alias === undefined ? {} : { alias: query.key_alias }),
      ...(query.key_hash === undefined ? {} : { id: await idOf(query.key_hash) }),
    };
    const skip = (page - 1) * size;
    // Another's team has no keys, as one that is not there.
    const isOthers = scope !== null && team !== scope;
    const { total, found } = isOthers
      ? { total: 0, found: [] }
      : query.user_id === undefined
        ? {
            total: await opened().keys.count(team, filter),
            found: await opened().keys.list(team, { limit: size, after: null, skip }, filter),
          }
        : await ofUser(query.user_id, team, filter, { size, skip });
    const isFull = query.return_full_object === 'true';
    return c.json({
      keys: await Promise.all(found.map(async (key) => (isFull ? info(key, await spendOf(key)) : key.id))),
      total_count: total,
      current_page: page,
      total_pages: Math.ceil(total / size),
    });
  });

  /** The keys of one of LiteLLM's users, who are only what is noted with a key here: all are looked through. */
  async function ofUser(
    user: string,
    team: string | null,
    filter: KeyFilter,
    { size, skip }: { readonly size: number; readonly skip: number },
  ): Promise<{ readonly total: number; readonly found: readonly ApiKey[] }> {
    const found: ApiKey[] = [];
    let total = 0;
    for (let after: string | null = null; ; ) {
      const some: readonly ApiKey[] = await opened().keys.list(
        team,
        { limit: LOOKED_AT_ONCE, after },
        filter,
      );
      for (const key of some) {
        if (key.metadata.user_id !== user) continue;
        if (total >= skip && found.length < size) found.push(key);
        total += 1;
      }
      if (some.length < LOOKED_AT_ONCE) return { total, found };
      after = some.at(-1)?.id ?? null;
    }
  }

  /** The id of a key that is named by its text or its id. @throws ApiError key_not_found */
  async function idOf(named: string): Promise<string> {
    if (!isKeyText(named)) return named;
    const id = await opened().keys.idOf(named);
    // Its text is not repeated: it may be another server's.
    if (id === null) throw new ApiError('key_not_found', 'There is no key with this text.');
    return id;
  }

  /**
   * The id of the only key with an alias, of those that whoever asks may administer. LiteLLM's proxy lets no two have the same.
   * @throws ApiError key_not_found, invalid_value where it is several
   */
  async function idOfAlias(alias: string, scope: string | null, param: string): Promise<string> {
    const [found, another] = await opened().keys.list(scope, { limit: 2, after: null }, { alias });
    if (found === undefined) throw notFound(alias);
    if (another !== undefined)
      throw invalidValue(param, `several keys have the alias '${quoted(alias)}'; name the one by its id.`);
    return found.id;
  }

  async function spendOf({ tenant, id }: ApiKey): Promise<number> {
    const query = { tenant, key: id, from: '0000-01-01', to: '9999-12-31', by: [], limit: 1 };
    return moneyOf((await spendRows(opened().database, query))[0]?.money ?? 0);
  }

  return app;
}

/** Whether a key asks what it may use itself, which each may: LiteLLM's `/key/info` without `key`. */
export function asksAboutItself(c: Context<GatewayEnv>): boolean {
  const { method, path } = c.req;
  const isInfo = method === 'GET' && path === '/key/info' && c.req.query('key') === undefined;
  return isInfo && c.get('access').principal.key !== null;
}

function notFound(named: string): ApiError {
  return new ApiError('key_not_found', `There is no key '${quoted(named)}'.`);
}
