import type { PageOwner } from '@polylora/engine';
import { Hono } from 'hono';
import type { BackendPool } from '../../backends/backend.ts';
import { ApiError } from '../../errors.ts';
import type { GatewayEnv } from '../../http/context.ts';
import type { GatewayDeps } from '../deps.ts';
import { assertQuery } from './paging.ts';

/**
 * `GET /admin/v1/pool`: an operator's. What is in each page of the memory that KV blocks and adapters share: `runs` has, for the pages
 * in order, which of the `owners` has how many in a row.
 */
export function adminPool({ backend }: Pick<GatewayDeps, 'backend'>): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>();
  app.get('/', async (c) => {
    assertQuery(c, []);
    const pool = await backend().pool();
    if (pool !== null) return c.json(poolBody(pool));
    const message = 'The answers come from another server, which has the memory. Look there.';
    throw new ApiError('no_page_pool', message);
  });
  return app;
}

function poolBody({ pageBytes, pagesTotal, owners, runs, names }: BackendPool): object {
  const pairs: number[][] = [];
  for (let at = 0; at < runs.length; at += 2) pairs.push([...runs.subarray(at, at + 2)]);
  return {
    object: 'pool',
    page_bytes: pageBytes,
    pages_total: pagesTotal,
    owners: owners.map((owner) => ownerBody(owner, names)),
    runs: pairs,
  };
}

function ownerBody(owner: PageOwner, names: ReadonlyMap<string, string>): object {
  const nameOf = (digest: string | null) => (digest === null ? null : (names.get(digest) ?? digest));
  switch (owner.kind) {
    case 'free':
      return { kind: 'free' };
    case 'kv': {
      const { kind, request, tenant, users } = owner;
      return { kind, request, tenant, adapter: nameOf(owner.adapter), requests: users };
    }
    case 'prefix':
      return { kind: 'prefix', tenant: owner.tenant, adapter: nameOf(owner.adapter) };
    case 'adapter': {
      const { kind, digest, pinned, users } = owner;
      return { kind, name: names.get(digest) ?? null, digest, pinned, running: users };
    }
  }
}
