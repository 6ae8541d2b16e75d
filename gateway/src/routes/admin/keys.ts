import { type Context, Hono } from 'hono';
import type { z } from 'zod';
import { ApiError } from '../../errors.ts';
import type { GatewayEnv } from '../../http/context.ts';
import { readJsonBody, readOptionalJsonBody } from '../../http/json-body.ts';
import { choiceValue, invalidValue, unsupported } from '../../openai/fields.ts';
import { parse } from '../../openai/parse.ts';
import type { KeyFields } from '../../tenants/keys.ts';
import { mergedLimits } from '../../tenants/limits.ts';
import { spendRows } from '../../tenants/spend-views.ts';
import { type ApiKey, OPERATOR_TENANT } from '../../tenants/tenant.ts';
import { tenantNotFound } from '../../tenants/tenants.ts';
import { assertQuery, pageBody, pageOf } from './paging.ts';
import { actorName, daysOf, openedTenants, scopeOf, type TenancyDeps } from './tenancy.ts';
import { keyBody, keyChange, newKey, rotation, spendBody } from './tenant-body.ts';

const BODY_LIMIT_BYTES = 256 << 10;
const MOST_ROWS = 10_000;
const DAY_SECONDS = 86_400;

/**
 * `/admin/v1/keys`: all keys for an operator, its own tenant's for an administrator of a tenant.
 *
 * | | |
 * | --- | --- |
 * | `POST /` | perhaps `tenant`, `role`, `alias`, `models`, `limits`, `expires`, `blocked`, `metadata`; the answer's `key` is shown this once |
 * | `GET /?tenant=`, `GET /{id}`, `PATCH /{id}`, `DELETE /{id}` | |
 * | `POST /{id}/rotate` | perhaps `overlap_seconds`, a day unless told: another text, while the earlier one still holds |
 * | `POST /{id}/block`, `POST /{id}/unblock` | |
 * | `GET /{id}/spend?from=&to=&by=day,model` | what was used |
 */
export function adminKeys(deps: TenancyDeps): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>();
  const opened = () => openedTenants(deps);
  app.post('/', async (c) => {
    const { tenant, ...given } = parse(newKey, await readJsonBody(c, BODY_LIMIT_BYTES));
    const fields = keyFieldsWith(DEFAULTS, given);
    if (fields.expiresAt !== null && fields.expiresAt <= opened().clock.now())
      throw invalidValue('expires', 'it is in the past; it is a Unix time in seconds.');
    const made = await createKey(c, deps, tenant ?? null, fields);
    return c.json(keyBody(made.key, made.text), 201);
  });
  app.get('/', async (c) => {
    assertQuery(c, ['tenant', 'limit', 'after']);
    const page = pageOf(c);
    const scope = scopeOf(c);
    const tenant = c.req.query('tenant') ?? scope;
    if (scope !== null && tenant !== scope) throw tenantNotFound(tenant ?? '');
    return c.json(pageBody(await opened().keys.list(tenant, page), page.asked, (key) => keyBody(key)));
  });
  app.get('/:id', async (c) => c.json(keyBody(await opened().keys.find(idOf(c), scopeOf(c)))));
  app.patch('/:id', async (c) => {
    const body = await readJsonBody(c, BODY_LIMIT_BYTES);
    if (body.tenant !== undefined) throw unsupported('tenant', "cannot change: a key stays its tenant's");
    const given = parse(keyChange, body);
    return c.json(keyBody(await updateKey(c, deps, idOf(c), (key) => keyFieldsWith(fieldsOf(key), given))));
  });
  app.delete('/:id', async (c) => {
    const { id } = await opened().keys.remove(idOf(c), scopeOf(c), actorName(c));
    return c.json({ id, deleted: true });
  });
  app.post('/:id/rotate', async (c) => {
    const { overlap_seconds: overlap } = parse(rotation, await readOptionalJsonBody(c, BODY_LIMIT_BYTES));
    const { key, text } = await opened().keys.rotate(
      idOf(c),
      scopeOf(c),
      overlap ?? DAY_SECONDS,
      actorName(c),
    );
    return c.json(keyBody(key, text));
  });
  for (const blocked of [true, false]) {
    app.post(blocked ? '/:id/block' : '/:id/unblock', async (c) =>
      c.json(keyBody(await updateKey(c, deps, idOf(c), (key) => ({ ...fieldsOf(key), blocked })))),
    );
  }
  app.get('/:id/spend', async (c) => {
    assertQuery(c, ['from', 'to', 'by']);
    const host = opened();
    const { id, tenant } = await host.keys.find(idOf(c), scopeOf(c));
    const by = (c.req.query('by') ?? 'day')
      .split(',')
      .map((group) => choiceValue(group, 'by', ['day', 'model'] as const));
    const query = { tenant, key: id, ...daysOf(c), by, limit: MOST_ROWS };
    return c.json(spendBody(await spendRows(host.database, query)));
  });
  return app;
}

const DEFAULTS: KeyFields = {
  role: 'user',
  alias: null,
  blocked: false,
  models: ['*'],
  limits: {},
  metadata: {},
  expiresAt: null,
};

/**
 * Makes a key, in the tenant of whoever asks where none is named.
 * @throws ApiError tenant_not_found, also for a tenant that whoever asks may not administer; insufficient_permissions
 */
export function createKey(
  c: Context<GatewayEnv>,
  deps: TenancyDeps,
  tenant: string | null,
  fields: KeyFields,
) {
  const scope = scopeOf(c);
  const whose = tenant ?? c.get('access').principal.tenant;
  if (scope !== null && whose !== scope) throw tenantNotFound(whose);
  assertRole(fields, whose);
  return openedTenants(deps).keys.create(whose, fields, actorName(c));
}

/** @throws ApiError key_not_found, also for a key that whoever asks may not administer; insufficient_permissions */
export function updateKey(
  c: Context<GatewayEnv>,
  deps: TenancyDeps,
  id: string,
  change: (key: ApiKey) => KeyFields,
): Promise<ApiKey> {
  const checked = (key: ApiKey) => {
    const fields = change(key);
    assertRole(fields, key.tenant);
    return fields;
  };
  return openedTenants(deps).keys.update(id, scopeOf(c), checked, actorName(c));
}

/** Those and nothing else of the key: they are written into the audit log. */
export function fieldsOf(key: ApiKey): KeyFields {
  const { role, alias, blocked, models, limitsBody: limits, metadata, expiresAt } = key;
  return { role, alias, blocked, models, limits, metadata, expiresAt };
}

/** Operators' keys are the operator's tenant's, which has no administrators but them. */
function assertRole({ role }: KeyFields, tenant: string): void {
  if (role === 'user' || (role === 'operator') === (tenant === OPERATOR_TENANT)) return;
  const message = `A key of the tenant '${tenant}' cannot have the role '${role}'.`;
  throw new ApiError('invalid_value', message, 'role');
}

/** Fields with those that were given; null puts one back to what it is without being told. */
function keyFieldsWith(old: KeyFields, given: z.infer<typeof keyChange>): KeyFields {
  const field = <K extends keyof KeyFields>(key: K, value: KeyFields[K] | null | undefined) =>
    value === undefined ? old[key] : (value ?? DEFAULTS[key]);
  const { expires } = given;
  return {
    role: field('role', given.role),
    alias: field('alias', given.alias),
    blocked: field('blocked', given.blocked),
    models: field('models', given.models),
    limits: mergedLimits(old.limits, given.limits),
    metadata: field('metadata', given.metadata),
    expiresAt: field('expiresAt', typeof expires === 'number' ? expires * 1000 : expires),
  };
}

function idOf(c: Context<GatewayEnv>): string {
  return c.req.param('id') ?? '';
}
