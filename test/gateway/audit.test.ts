/** The audit log, as an operator reads and checks it: over HTTP, and with `polylora audit`. */
import type { Server } from 'node:http';
import { migrateBack } from '@polylora/adapters-store';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createHttpServer, listen } from '../../gateway/src/server.ts';
import { openApp, type TestApp } from '../support/app.ts';
import { launch } from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';

const HASH = /[0-9a-f]{64}/;

describe('the audit log', () => {
  let gateway: TestApp;
  let admin = '';
  let user = { id: '', key: '' };

  beforeAll(async () => {
    gateway = await openApp();
    for (const id of ['acme', 'other']) {
      expect((await gateway.ask(OPERATOR_KEY, 'POST', '/admin/v1/tenants', { id })).status).toBe(201);
    }
    admin = (await newKey('acme', 'admin')).key;
    user = await newKey('acme', 'user');
    for (const change of ['block', 'unblock', 'rotate', 'block'])
      expect((await gateway.ask(admin, 'POST', `/admin/v1/keys/${user.id}/${change}`)).status).toBe(200);
  });
  afterAll(() => gateway.close());

  async function newKey(tenant: string, role: string): Promise<{ id: string; key: string }> {
    const { status, json } = await gateway.ask(OPERATOR_KEY, 'POST', '/admin/v1/keys', { tenant, role });
    expect(status).toBe(201);
    return json;
  }

  const list = async (query = '') => (await gateway.ask(OPERATOR_KEY, 'GET', `/admin/v1/audit${query}`)).json;

  it('is read by an operator: the newest first, in pages, by who, what and on what', async () => {
    const made = await newKey('other', 'user');
    const [newest] = (await list('?limit=1')).data;
    expect(newest).toMatchObject({
      ...{ object: 'audit.entry', actor: 'operator', action: 'key.create', subject: `key:${made.id}` },
      ...{ details: { tenant: 'other', role: 'user' }, hash: expect.stringMatching(/^[0-9a-f]{64}$/) },
      created: expect.any(Number),
    });
    const all = await list('?limit=1000');
    expect(all.has_more).toBe(false);
    const ids: string[] = [];
    for (let page = await list('?limit=3'); ; page = await list(`?limit=3&after=${page.last_id}`)) {
      ids.push(...page.data.map(({ id }: { id: string }) => id));
      if (!page.has_more) break;
    }
    expect(ids).toEqual(
      Array.from({ length: all.data.length }, (_, index) => String(all.data.length - index)),
    );
    for (const [field, value] of [
      ['action', 'tenant.create'],
      ['subject', `key:${made.id}`],
      ['actor', 'operator'],
    ] as const) {
      const found = (await list(`?limit=1000&${field}=${encodeURIComponent(value)}`)).data;
      expect(found).toEqual(all.data.filter((entry: Record<string, string>) => entry[field] === value));
      expect(found.length).toBeGreaterThan(0);
    }
    const byAcme = (await list('?limit=1000&tenant=acme')).data;
    expect(byAcme.length).toBeGreaterThan(3);
    for (const { actor } of byAcme) expect(actor).toMatch(/^acme\/key_/);
    expect((await list('?tenant=acm')).data).toEqual([]);
  });

  it.each([
    ['?limit=0', 'limit'],
    ['?after=x', 'after'],
    ['?after=0', 'after'],
    ['?after=2147483648', 'after'],
    ['?actor=', 'actor'],
    ['?tenant=a%00', 'tenant'],
    [`?action=${'x'.repeat(257)}`, 'action'],
  ])('says by its name what of a question is wrong: %s', async (query, param) => {
    const answer = await gateway.ask(OPERATOR_KEY, 'GET', `/admin/v1/audit${query}`);
    expect([answer.status, answer.json.error.param]).toEqual([400, param]);
  });

  it('has no text of a key in its answers, nor a token', async () => {
    await gateway.ask(OPERATOR_KEY, 'PUT', '/admin/v1/sources/hub/token', { token: 'hf_canary' });
    const { text } = await gateway.ask(OPERATOR_KEY, 'GET', '/admin/v1/audit?limit=1000');
    expect(text).toContain('"secret.set"');
    expect(text).not.toMatch(/plk_|hf_canary/);
    for (const key of [admin, user.key]) expect(text).not.toContain(key.slice(4));
    await gateway.ask(OPERATOR_KEY, 'DELETE', '/admin/v1/sources/hub/token');
  });

  it('is said to hold, up to which entry', async () => {
    const [newest] = (await list('?limit=1')).data;
    expect((await gateway.ask(OPERATOR_KEY, 'GET', '/admin/v1/audit/verify')).json).toEqual({
      ...{ object: 'audit.verification', valid: true, broken_at: null },
      ...{ entries: Number(newest.id), hash: newest.hash },
    });
  });
});

describe('polylora audit', () => {
  let gateway: TestApp;
  let server: Server;
  let url: string;
  const made: string[] = [];
  /** What it said of a log without an entry, and with one. */
  let [empty, single] = [{ stdout: '' }, { stdout: '' }];
  beforeAll(async () => {
    gateway = await openApp();
    server = createHttpServer(gateway.app.fetch);
    url = `http://127.0.0.1:${await listen(server, '127.0.0.1', 0)}`;
    empty = await run(['--verify']);
    await gateway.ask(OPERATOR_KEY, 'POST', '/admin/v1/tenants', { id: 'acme' });
    single = await run(['--verify']);
    for (let key = 0; key < 2; key++) {
      const { json } = await gateway.ask(OPERATOR_KEY, 'POST', '/admin/v1/keys', { tenant: 'acme' });
      made.push(json.id);
    }
  });
  afterAll(async () => {
    server.close();
    await gateway.close();
  });

  async function run(args: readonly string[], key = OPERATOR_KEY) {
    const { exited, output } = launch(['audit', ...args], { POLYLORA_URL: url, POLYLORA_OPERATOR_KEY: key });
    return { status: await exited, ...output };
  }

  it('lists what was done, and goes on where a list ended', async () => {
    const all = await run([]);
    expect(all).toMatchObject({ status: 0, stderr: '' });
    const lines = all.stdout.trimEnd().split('\n');
    expect(lines.map((line) => line.split(/\s+/))).toEqual([
      ['ENTRY', 'TIME', 'ACTOR', 'ACTION', 'SUBJECT'],
      ['3', expect.stringMatching(/Z$/), 'operator', 'key.create', `key:${made[1]}`],
      ['2', expect.stringMatching(/Z$/), 'operator', 'key.create', `key:${made[0]}`],
      ['1', expect.stringMatching(/Z$/), 'operator', 'tenant.create', 'tenant:acme'],
    ]);
    expect((await run(['--limit', '1'])).stdout).toContain('There are earlier ones: --after 3\n');
    const { data } = JSON.parse((await run(['--json', '--after', '3', '--limit', '1'])).stdout);
    expect(data).toMatchObject([{ id: '2', action: 'key.create', details: { tenant: 'acme' } }]);
    expect((await run(['--action', 'key.rotate'])).stdout).toBe('There is no such entry.\n');
  });

  it('refuses what it does not understand, and whoever is no operator', async () => {
    expect(await run(['--verify', '--limit', '3'])).toMatchObject({ status: 2 });
    expect(await run(['--limit', 'many'])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('limit'),
    });
    const admin = await gateway.ask(OPERATOR_KEY, 'POST', '/admin/v1/keys', {
      tenant: 'acme',
      role: 'admin',
    });
    const refused = await run([], admin.json.key);
    expect(refused).toMatchObject({ status: 1, stdout: '' });
    expect(refused.stderr).toContain('insufficient_permissions');
  });

  it('says whether all of it is what was written, also by its exit status', async () => {
    expect(empty.stdout).toBe('There are no entries.\n');
    expect(single.stdout).toMatch(/^The only entry is what was written; it has the hash [0-9a-f]{64}\.\n$/);
    const whole = await run(['--verify']);
    expect(whole).toMatchObject({ status: 0, stderr: '' });
    expect(whole.stdout).toMatch(
      /^All 4 entries are what was written; the last has the hash [0-9a-f]{64}\.\n$/,
    );
    // The step back takes the guard away.
    await migrateBack(gateway.database);
    await gateway.database
      .updateTable('audit')
      .set({ subject: 'tenant:other' } as never)
      .where('sequence', '=', 2)
      .execute();
    const changed = await run(['--verify']);
    expect(changed).toMatchObject({ status: 1, stdout: '' });
    expect(changed.stderr).toContain(
      'Entry 2 is not what was written, or is gone. The one before it is; it has the hash ',
    );
    const asJson = await run(['--verify', '--json']);
    expect(asJson.status).toBe(1);
    expect(JSON.parse(asJson.stdout)).toMatchObject({
      ...{ valid: false, entries: 1, broken_at: '2', hash: expect.stringMatching(HASH) },
    });
  });
});
