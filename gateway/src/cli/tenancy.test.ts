/** What the commands for tenants and keys say, and what they send, against a server that answers as it is told. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { runKeys } from './keys.ts';
import type { Surroundings } from './surroundings.ts';
import { runTenants } from './tenants.ts';

const USED = 'an-operator-key-of-mine';
const SECRET = `plk_${'canary'.repeat(7)}`;
const HOUR = 3_600;
const now = () => Math.floor(Date.now() / 1000);

let server: Server;
let asked: { method: string; url: string; body: unknown }[] = [];
let answer: object = {};
beforeAll(async () => {
  server = createServer(async (request, response) => {
    const body = await text(request);
    asked.push({
      method: request.method ?? '',
      url: request.url ?? '',
      body: body === '' ? null : JSON.parse(body),
    });
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
});
afterAll(() => server.close());
beforeEach(() => {
  asked = [];
});

function surroundings(): Surroundings {
  const { port } = server.address() as AddressInfo;
  const env = { POLYLORA_URL: `http://127.0.0.1:${port}`, POLYLORA_OPERATOR_KEY: USED };
  const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
  return { ...streams, env } as unknown as Surroundings;
}
const keys = (...args: string[]) => runKeys(args, surroundings());
const tenants = (...args: string[]) => runTenants(args, surroundings());

function key(fields: object = {}) {
  const usual = {
    id: 'key_1',
    tenant: 'acme',
    role: 'user',
    alias: null,
    blocked: false,
    models: [],
    limits: {},
  };
  const secrets = [{ prefix: 'plk_abcdef', expires: null }];
  return { ...usual, expires: null, secrets, created: 1, ...fields };
}

describe('polylora keys', () => {
  it.each([
    ['rotate', SECRET],
    ['show', SECRET],
    [SECRET],
    ['create', '--alias', SECRET],
    ['ls', `--tenant=${SECRET}`],
    ['show', USED],
  ])('repeats no text of a key, and sends none: %s', async (...args) => {
    const said = await keys(...args).catch(String);
    expect(said).toContain('polylora keys ls');
    expect(said).not.toContain('canary');
    expect(said).not.toContain(USED);
    expect(asked).toEqual([]);
  });

  it('blocks the key that is in use only where --yes is said', async () => {
    answer = key({ secrets: [{ prefix: USED.slice(0, 10), expires: null }] });
    await expect(keys('block', 'key_1')).rejects.toThrow(/key_1 is the key in use.*--yes to block it/);
    expect(asked.map(({ method }) => method)).toEqual(['GET']);
    expect(await keys('block', 'key_1', '--yes')).toBe('key_1 is blocked now.\n');
    expect(asked.at(-1)).toMatchObject({ method: 'POST', url: '/admin/v1/keys/key_1/block' });
    answer = key();
    expect(await keys('block', 'key_1')).toBe('key_1 is blocked now.\n');
  });

  it('says what has ended, and when each text does', async () => {
    const at = now();
    answer = key({
      expires: at - 1,
      secrets: [
        { prefix: 'plk_old', expires: at - HOUR },
        { prefix: 'plk_mid', expires: at + HOUR },
        { prefix: 'plk_new', expires: null },
      ],
    });
    const shown = await keys('show', 'key_1');
    expect(shown).toMatch(/state +expired/);
    expect(shown).toMatch(/plk_old\.\.\. \(ended \d{4}-.*\)/);
    expect(shown).toMatch(/plk_mid\.\.\. \(ends \d{4}-.*\)/);
    expect(shown).toMatch(/plk_new\.\.\.\n/);
    answer = { data: [key({ expires: at - 1 })], has_more: false, last_id: null };
    expect(await keys('ls')).toContain('expired');
  });

  it('says when the earlier text of a rotated key ends', async () => {
    const texts = [
      { prefix: 'plk_old', expires: now() + HOUR },
      { prefix: 'plk_new', expires: null },
    ];
    answer = key({ key: 'plk_new_text', secrets: texts });
    expect(await keys('rotate', 'key_1', '--overlap', '1h')).toMatch(
      /The earlier plk_old\.\.\. ends \d{4}-.*\.\n$/,
    );
    expect(asked.at(-1)?.body).toEqual({ overlap_seconds: HOUR });
    answer = key({ key: 'plk_new_text', secrets: texts.slice(1) });
    expect(await keys('rotate', 'key_1', '--overlap', '0s')).toContain('does not hold any more');
  });

  it('takes weeks and dates for the end of a key', async () => {
    answer = key({ key: 'x' });
    const ends = async (value: string) => {
      await keys('create', '--expires-in', value);
      return (asked.at(-1)?.body as { expires: number | null } | undefined)?.expires;
    };
    expect(Math.abs(((await ends('1w')) ?? 0) - now() - 7 * 24 * HOUR)).toBeLessThan(60);
    expect(await ends('2999-01-31')).toBe(Date.UTC(2999, 0, 31) / 1000);
    expect(await ends('2999-01-31T12:00:00Z')).toBe(Date.UTC(2999, 0, 31, 12) / 1000);
    expect(await ends('never')).toBeNull();
    await expect(ends('2001-01-31')).rejects.toThrow('is past');
    for (const wrong of ['2999-02-30', '2999-13-01', '2999-01-31x', 'soon', '1y'])
      await expect(ends(wrong)).rejects.toThrow(/--expires-in needs a time/);
  });

  it('refuses two budgets of the same period and unit', async () => {
    await expect(keys('create', '--budget', 'day:tokens:1', '--budget', 'day:tokens:2')).rejects.toThrow(
      '--budget is given twice for day:tokens.',
    );
    answer = key({ key: 'x' });
    await keys('create', '--budget', 'day:tokens:1', '--budget', 'day:money:none');
    expect(asked.at(-1)?.body).toMatchObject({ limits: { budgets: { day: { tokens: 1, money: null } } } });
  });
});

describe('polylora tenants price', () => {
  it.each([
    [['--input', '0.1'], /^--output must be given too/],
    [['--output', '0.1'], /^--input must be given too/],
    [['--cached-input', '1'], /^--input and --output must/],
    [['--remove', '--input', '3'], /^--remove takes the price away, and --input sets one/],
    [['--remove', '--cached-input', '3'], /--cached-input sets one/],
  ])('refuses %j', async (options, message) => {
    await expect(tenants('price', 'base', ...options)).rejects.toThrow(message);
    expect(asked).toEqual([]);
  });
});
