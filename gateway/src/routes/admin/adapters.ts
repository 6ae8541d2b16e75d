import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type AdaptersStore,
  type AdapterUploads,
  EVERYONE,
  type Grantee,
  type PushLimits,
  storageError,
} from '@polylora/adapters-store';
import type { Context } from 'hono';
import { Hono } from 'hono';
import { operatorsOnly } from '../../access/authenticate.ts';
import { ApiError } from '../../errors.ts';
import type { GatewayEnv } from '../../http/context.ts';
import { readJsonBody } from '../../http/json-body.ts';
import { receiveUpload } from '../../http/multipart.ts';
import { integerValue, invalidValue, type JsonObject, missing, textValue } from '../../openai/fields.ts';
import { actorOf, assertOwnName } from './actor.ts';
import { asked, opened } from './asked.ts';
import { exportAdapter } from './export.ts';
import { assertQuery } from './paging.ts';
import { releaseBody } from './release-body.ts';
import { adapterUploads } from './uploads.ts';

const PAGE = { min: 1, max: 1_000, usual: 100 } as const;
const CONFIG_LIMIT_BYTES = 256 << 10;
const BODY_LIMIT_BYTES = 64 << 10;

export interface AdminAdaptersDeps {
  /** null until the model is known. */
  readonly store: () => AdaptersStore | null;
  /** null until the model is known. */
  readonly uploads: () => AdapterUploads | null;
  /** A directory for forms that are being received, which the store clears of what is old. */
  readonly staging: string;
  readonly limits: PushLimits;
}

/**
 * `/admin/v1/adapters`: names may hold a slash, which is written `%2F` in a path.
 *
 * | | |
 * | --- | --- |
 * | `POST /` | a form: `name`, `config` and `weights` (the two files), and perhaps `tags`, `note`, `parent` |
 * | `GET /`, `GET /{name}`, `DELETE /{name}` | |
 * | `GET /{name}/export?version=v3` | a .tar of its files; `latest` without a version |
 * | `PUT /{name}/tags/{tag}` | `{"version": "v3"}`; `DELETE` takes the tag away |
 * | `PUT /{name}/grants` | `{"tenant": "…"}` or `{"key": "…"}`, `"*"` for everybody; `DELETE` takes it back |
 * | `PUT /{name}/pins/{digest}`, `DELETE` | |
 * | `/uploads` | an adapter in parts, see `adapterUploads` |
 */
export function adminAdapters(deps: AdminAdaptersDeps): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>();
  const store = () => opened(deps.store());
  app.post('/', (c) => asked(() => push(c, store(), deps)));
  app.get('/', (c) => asked(() => list(c, store())));
  app.get('/:name', async (c, next) => {
    const found = await asked(async () => {
      const { releases, ...details } = await store().inspect(nameOf(c), actorOf(c));
      return c.json({ ...details, releases: releases.map(releaseBody) });
    }).catch((error: unknown) => {
      // Where no adapter is called 'uploads', it is the list of those that are open.
      if (nameOf(c) === 'uploads' && error instanceof ApiError && error.code === 'adapter_not_found')
        return null;
      throw error;
    });
    return found ?? next();
  });
  app.get('/:name/export', (c) => asked(() => exportAdapter(c, store())));
  app.delete('/:name', (c) =>
    asked(async () =>
      c.json({ name: nameOf(c), deleted: true, removed: await store().remove(nameOf(c), actorOf(c)) }),
    ),
  );
  app.put('/:name/tags/:tag', (c) =>
    asked(async () => {
      const body = await readJsonBody(c, BODY_LIMIT_BYTES);
      const version = textValue(body.version ?? required('version'), 'version');
      await store().tag(nameOf(c), c.req.param('tag'), version, actorOf(c));
      return c.json({ name: nameOf(c), tag: c.req.param('tag'), version });
    }),
  );
  app.delete('/:name/tags/:tag', (c) =>
    asked(async () => {
      await store().untag(nameOf(c), c.req.param('tag'), actorOf(c));
      return c.json({ name: nameOf(c), tag: c.req.param('tag'), deleted: true });
    }),
  );
  // Who may give adapters to others is the operator's affair: whatever a tenant is given is in its list of models.
  app.use('/:name/grants', operatorsOnly());
  for (const change of ['grant', 'revoke'] as const) {
    app.on(change === 'grant' ? 'PUT' : 'DELETE', '/:name/grants', (c) =>
      asked(async () => {
        const grantee = readGrantee(await readJsonBody(c, BODY_LIMIT_BYTES));
        await store()[change](nameOf(c), grantee, actorOf(c));
        return c.json({ name: nameOf(c), [grantee.kind]: grantee.grantee, granted: change === 'grant' });
      }),
    );
  }
  for (const method of ['PUT', 'DELETE'] as const) {
    app.on(method, '/:name/pins/:digest', (c) =>
      asked(async () => {
        const digest = c.req.param('digest') ?? '';
        await store().pin(nameOf(c), digest, method === 'PUT', actorOf(c));
        return c.json({ name: nameOf(c), digest, pinned: method === 'PUT' });
      }),
    );
  }
  // Last: an adapter may be called 'uploads'.
  app.route(
    '/uploads',
    adapterUploads(() => opened(deps.uploads())),
  );
  return app;
}

async function push(
  c: Context<GatewayEnv>,
  store: AdaptersStore,
  { staging, limits }: AdminAdaptersDeps,
): Promise<Response> {
  const directory = join(staging, randomUUID());
  try {
    await mkdir(directory, { recursive: true });
    const { fields, files } = await receiveUpload(c.req.raw, {
      config: { path: join(directory, 'adapter_config.json'), limitBytes: CONFIG_LIMIT_BYTES },
      weights: { path: join(directory, 'adapter_model.safetensors'), limitBytes: limits.maxBytes },
    });
    const { name, tags, note = null, parent = null, ...rest } = fields;
    const [unknown] = Object.keys(rest);
    if (unknown !== undefined) throw invalidValue(unknown.slice(0, 64), 'it is not a field of this form.');
    if (name === undefined) throw missing('name');
    assertOwnName(c, name);
    for (const part of ['config', 'weights'] as const) if (files[part] === undefined) throw missing(part);
    const push = { name, directory, source: { kind: 'upload' }, note, parent, limits } as const;
    const release = await store.push(
      { ...push, tags: tags?.split(',').map((tag) => tag.trim()) ?? [] },
      actorOf(c),
    );
    return c.json(releaseBody(release), 201);
  } catch (error) {
    throw storageError(error, 'receiving an adapter');
  } finally {
    // What cannot be removed now is cleared away with time.
    await rm(directory, { recursive: true, force: true }).catch(() => {});
  }
}

async function list(c: Context<GatewayEnv>, store: AdaptersStore): Promise<Response> {
  assertQuery(c, ['tenant', 'limit', 'after']);
  const { limit: given, after } = c.req.query();
  const limit =
    given === undefined
      ? PAGE.usual
      : integerValue(/^-?\d+$/.test(given) ? Number(given) : given, 'limit', PAGE);
  const found = await store.list(actorOf(c), { limit: limit + 1, ...(after === undefined ? {} : { after }) });
  const data = found
    .slice(0, limit)
    .map(({ name, owner, digest, kind, task, bytes, createdAt, movedAt }) => ({
      name,
      owner,
      digest,
      kind,
      task,
      bytes,
      created: Math.floor(createdAt / 1000),
      moved: Math.floor(movedAt / 1000),
    }));
  return c.json({ object: 'list', data, has_more: found.length > limit });
}

function nameOf(c: Context<GatewayEnv>): string {
  return c.req.param('name') ?? '';
}

function readGrantee(body: JsonObject): Grantee {
  const { tenant = null, key = null } = body;
  if (tenant !== null && key !== null) throw invalidValue('key', "give either 'tenant' or 'key'.");
  if (key !== null) return { kind: 'key', grantee: textValue(key, 'key', 256) };
  if (tenant === null) throw missing('tenant');
  return { kind: 'tenant', grantee: tenant === EVERYONE ? EVERYONE : textValue(tenant, 'tenant', 256) };
}

function required(param: string): never {
  throw missing(param);
}
