/** Keys as gateways that share a database see them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Database, openDatabase, verifyAudit } from '@polylora/adapters-store';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLogger } from '../logging.ts';
import type { KeyFields } from './keys.ts';
import { withTenants } from './tables.ts';
import { openTenants, type TenantsHost } from './tenants-host.ts';

const SECRET = Buffer.alloc(32, 7);
const FIELDS: KeyFields = {
  role: 'user',
  alias: null,
  blocked: false,
  models: ['*'],
  limits: {},
  metadata: {},
  expiresAt: null,
};
const TENANT = {
  name: null,
  blocked: false,
  models: ['*'],
  limits: {},
  weight: 1,
  allowPriority: false,
  metadata: {},
};

let folder: string;
let databases: Database[] = [];
let hosts: TenantsHost[] = [];

/** Another gateway, with a connection of its own. */
async function gateway(secret = SECRET): Promise<TenantsHost> {
  const database = await openDatabase(join(folder, 'metadata.db'));
  databases.push(database);
  const host = await openTenants({ database, secret, logger: createLogger('silent') });
  hosts.push(host);
  return host;
}

async function who({ registry, hasher }: TenantsHost, text: string): Promise<string | null> {
  return (await registry.find(text, hasher.hash(text)))?.principal.key ?? null;
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'polylora-registry-'));
});
afterEach(async () => {
  await Promise.all(hosts.map((host) => host.close()));
  await Promise.all(databases.map((database) => database.destroy()));
  [hosts, databases] = [[], []];
  await rm(folder, { recursive: true });
});

describe('keys', () => {
  it('are found at every gateway, and nothing else is', async () => {
    const [a, b] = [await gateway(), await gateway()];
    await a.tenants.create('acme', TENANT, 'operator');
    const { key, text } = await a.keys.create('acme', FIELDS, 'operator');
    for (const host of [a, b]) {
      expect(await who(host, text)).toBe(key.id);
      for (const wrong of ['', 'plk_', `${text}x`, text.slice(0, -1), `plk_${'A'.repeat(43)}`, "' or 1=1 --"])
        expect(await who(host, wrong)).toBeNull();
    }
    const access = await b.registry.find(text, b.hasher.hash(text));
    expect(access).toMatchObject({ role: 'user', principal: { tenant: 'acme', key: key.id } });
  });

  it('are in the database as keyed hashes only', async () => {
    const a = await gateway();
    const first = await a.keys.createFirst('start');
    const text = first?.text ?? '';
    const tables = withTenants(databases[0]!);
    const everything = JSON.stringify([
      await tables.selectFrom('api_key').selectAll().execute(),
      await tables.selectFrom('api_key_secret').selectAll().execute(),
      await tables.selectFrom('audit').selectAll().execute(),
    ]);
    expect(everything).not.toContain(text);
    expect(everything).not.toContain(text.slice(12));
    expect(everything).toContain(a.hasher.hash(text));
    const stranger = await gateway(Buffer.alloc(32, 8));
    expect(await who(stranger, text)).toBeNull();
  });

  it('are made once for a first start, however many gateways start', async () => {
    const [a, b] = [await gateway(), await gateway()];
    const made = await b.keys.createFirst('start');
    expect(await who(a, made?.text ?? '')).toBe(made?.key.id);
    expect([await a.keys.createFirst('start'), await b.keys.createFirst('start')]).toEqual([null, null]);
  });

  it.each(['block', 'remove', 'expire', 'block tenant', 'remove tenant'] as const)(
    'end within a second everywhere: %s',
    async (change) => {
      const [a, b] = [await gateway(), await gateway()];
      await a.tenants.create('acme', TENANT, 'operator');
      const { key, text } = await a.keys.create('acme', FIELDS, 'operator');
      expect([await who(a, text), await who(b, text)]).toEqual([key.id, key.id]);
      if (change === 'block')
        await a.keys.update(key.id, null, (old) => ({ ...fields(old), blocked: true }), 'o');
      if (change === 'expire')
        await a.keys.update(key.id, null, (old) => ({ ...fields(old), expiresAt: Date.now() - 1 }), 'o');
      if (change === 'remove') await a.keys.remove(key.id, 'acme', 'o');
      if (change === 'block tenant')
        await a.tenants.update('acme', (old) => ({ ...old, limits: {}, blocked: true }), 'o');
      if (change === 'remove tenant') await a.tenants.remove('acme', 'o');
      expect(await who(a, text)).toBeNull();
      await sleep(900);
      expect(await who(b, text)).toBeNull();
      expect(await verifyAudit(databases[0]!)).toMatchObject({ brokenAt: null });
    },
  );

  it('hold everywhere when they are unblocked, and with both texts while they are exchanged', async () => {
    const [a, b] = [await gateway(), await gateway()];
    await a.tenants.create('acme', TENANT, 'operator');
    const { key, text } = await a.keys.create('acme', { ...FIELDS, blocked: true }, 'operator');
    expect(await who(b, text)).toBeNull();
    await a.keys.update(key.id, null, (old) => ({ ...fields(old), blocked: false }), 'o');
    const next = await a.keys.rotate(key.id, 'acme', 3, 'o');
    expect(next.text).not.toBe(text);
    await sleep(900);
    expect([await who(b, text), await who(b, next.text)]).toEqual([key.id, key.id]);
    await sleep(2_200);
    expect([await who(b, text), await who(b, next.text)]).toEqual([null, key.id]);
    expect([await who(a, text), await who(a, next.text)]).toEqual([null, key.id]);
  });

  it("are not there for another tenant's administrator, and ids of tenants are used once", async () => {
    const a = await gateway();
    await a.tenants.create('acme', TENANT, 'operator');
    await a.tenants.create('other', TENANT, 'operator');
    const { key } = await a.keys.create('acme', FIELDS, 'operator');
    const absent = { code: 'key_not_found' };
    const there = (id: string) =>
      a.keys.find(id, 'other').then(
        () => 'there',
        (error: Error) => error.message,
      );
    expect(await there(key.id)).toBe((await there('key_none')).replace('key_none', key.id));
    await expect(a.keys.rotate(key.id, 'other', 0, 'o')).rejects.toMatchObject(absent);
    await expect(a.keys.remove(key.id, 'other', 'o')).rejects.toMatchObject(absent);
    await expect(a.keys.update(key.id, 'other', fields, 'o')).rejects.toMatchObject(absent);
    expect(await a.keys.list('other', { limit: 10, after: null })).toEqual([]);
    await a.tenants.remove('acme', 'o');
    await expect(a.tenants.create('acme', TENANT, 'o')).rejects.toMatchObject({ code: 'tenant_exists' });
    await expect(a.keys.create('acme', FIELDS, 'o')).rejects.toMatchObject({ code: 'tenant_not_found' });
  });
});

describe('lists of keys', () => {
  it('have the newest first, go on behind a key that was removed, and end with those of the earlier kind of id', async () => {
    const a = await gateway();
    await a.tenants.create('acme', TENANT, 'operator');
    const made: string[] = [];
    for (let index = 0; index < 3; index++) {
      made.unshift((await a.keys.create('acme', FIELDS, 'operator')).key.id);
      await sleep(2);
    }
    const old = ['key_ffffffffffffffff', 'key_0123456789abcdef'];
    const tables = withTenants(a.database);
    const row = await tables
      .selectFrom('api_key')
      .selectAll()
      .where('id', '=', made[0]!)
      .executeTakeFirstOrThrow();
    for (const id of old)
      await tables
        .insertInto('api_key')
        .values({ ...row, id })
        .execute();
    const ids = async (limit: number, after: string | null) =>
      (await a.keys.list('acme', { limit, after })).map(({ id }) => id);
    expect(await ids(10, null)).toEqual([...made, ...old]);
    const [first, second] = await ids(2, null);
    expect([first, second]).toEqual(made.slice(0, 2));
    await a.keys.remove(second!, 'acme', 'operator');
    expect(await ids(10, second!)).toEqual([made[2], ...old]);
  });
});

describe('while the database is away', () => {
  it('known keys go on, and unknown ones are told to come again', async () => {
    const a = await gateway();
    await a.tenants.create('acme', TENANT, 'operator');
    const { key, text } = await a.keys.create('acme', FIELDS, 'operator');
    expect(await who(a, text)).toBe(key.id);
    await databases[0]!.destroy();
    await sleep(1_000);
    expect(await who(a, text)).toBe(key.id);
    await expect(who(a, `plk_${'B'.repeat(43)}`)).rejects.toThrow();
  });
});

function fields({
  role,
  alias,
  blocked,
  models,
  limitsBody,
  metadata,
  expiresAt,
}: Awaited<ReturnType<TenantsHost['keys']['find']>>): KeyFields {
  return { role, alias, blocked, models, limits: limitsBody, metadata, expiresAt };
}
