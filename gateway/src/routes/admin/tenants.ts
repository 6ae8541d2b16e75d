import { type Context, Hono } from 'hono';
import type { z } from 'zod';
import { operatorsOnly } from '../../access/authenticate.ts';
import type { GatewayEnv } from '../../http/context.ts';
import { readJsonBody } from '../../http/json-body.ts';
import { choiceValue } from '../../openai/fields.ts';
import { parse } from '../../openai/parse.ts';
import { mergedLimits } from '../../tenants/limits.ts';
import { spendRows } from '../../tenants/spend-views.ts';
import type { Tenant } from '../../tenants/tenant.ts';
import { type TenantFields, tenantNotFound } from '../../tenants/tenants.ts';
import type { GatewayDeps } from '../deps.ts';
import { assertQuery, pageBody, pageOf } from './paging.ts';
import { actorName, daysOf, openedTenants, scopeOf, type TenancyDeps } from './tenancy.ts';
import { newTenant, spendBody, tenantBody, tenantChange } from './tenant-body.ts';

const BODY_LIMIT_BYTES = 256 << 10;
const MOST_ROWS = 10_000;

/**
 * `/admin/v1/tenants`: an operator's, but that a tenant's administrator sees its own.
 *
 * | | |
 * | --- | --- |
 * | `POST /` | `id`, and perhaps `name`, `models`, `limits`, `weight`, `allow_priority`, `blocked`, `metadata` |
 * | `GET /`, `GET /{id}`, `PATCH /{id}`, `DELETE /{id}` | |
 * | `GET /{id}/spend?from=&to=&by=day,key,model` | what was used |
 */
export function adminTenants(deps: TenancyDeps & Pick<GatewayDeps, 'cache'>): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>();
  const opened = () => openedTenants(deps);
  app.post('/', operatorsOnly(), async (c) => {
    const { id, ...given } = parse(newTenant, await readJsonBody(c, BODY_LIMIT_BYTES));
    const tenant = await opened().tenants.create(id, fieldsWith(DEFAULTS, given), actorName(c));
    return c.json(tenantBody(tenant), 201);
  });
  app.get('/', operatorsOnly(), async (c) => {
    assertQuery(c, ['limit', 'after']);
    const page = pageOf(c);
    return c.json(pageBody(await opened().tenants.list(page), page.asked, tenantBody));
  });
  app.get('/:id', async (c) => c.json(tenantBody(await opened().tenants.find(ownId(c)))));
  app.patch('/:id', operatorsOnly(), async (c) => {
    const given = parse(tenantChange, await readJsonBody(c, BODY_LIMIT_BYTES));
    const change = (tenant: Tenant) => fieldsWith({ ...tenant, limits: tenant.limitsBody }, given);
    return c.json(tenantBody(await opened().tenants.update(ownId(c), change, actorName(c))));
  });
  app.delete('/:id', operatorsOnly(), async (c) => {
    const tenant = ownId(c);
    await opened().tenants.remove(tenant, actorName(c));
    // Nobody can find them any more, and they are not ours to keep. While their store is away they wait for their time to end.
    await deps
      .cache()
      ?.cache.kept.purge({ tenant }, false)
      .catch((error: unknown) =>
        deps.logger.warn({ err: error, tenant }, 'cached answers of a removed tenant stay until they expire'),
      );
    return c.json({ id: tenant, deleted: true });
  });
  app.get('/:id/spend', async (c) => {
    assertQuery(c, ['from', 'to', 'by']);
    const host = opened();
    const id = ownId(c);
    await host.tenants.assertEver(id);
    const by = (c.req.query('by') ?? 'day')
      .split(',')
      .map((group) => choiceValue(group, 'by', ['day', 'key', 'model'] as const));
    const query = { tenant: id, key: null, ...daysOf(c), by, limit: MOST_ROWS };
    return c.json(spendBody(await spendRows(host.database, query)));
  });
  return app;
}

const DEFAULTS: TenantFields = {
  name: null,
  blocked: false,
  models: ['*'],
  limits: {},
  weight: 1,
  allowPriority: false,
  metadata: {},
};

/** Fields with those that were given; null puts one back to what it is without being told. */
function fieldsWith(old: TenantFields, given: z.infer<typeof tenantChange>): TenantFields {
  const field = <K extends keyof TenantFields>(key: K, value: TenantFields[K] | null | undefined) =>
    value === undefined ? old[key] : (value ?? DEFAULTS[key]);
  return {
    name: field('name', given.name),
    blocked: field('blocked', given.blocked),
    models: field('models', given.models),
    limits: mergedLimits(old.limits, given.limits),
    weight: field('weight', given.weight),
    allowPriority: field('allowPriority', given.allow_priority),
    metadata: field('metadata', given.metadata),
  };
}

/** @throws ApiError tenant_not_found for another tenant's administrator */
function ownId(c: Context<GatewayEnv>): string {
  const id = c.req.param('id') ?? '';
  const scope = scopeOf(c);
  if (scope !== null && scope !== id) throw tenantNotFound(id);
  return id;
}
