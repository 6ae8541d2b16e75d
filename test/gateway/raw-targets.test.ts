/** RELIABILITY 21: what no client library would send, written to a running server's socket. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FIXTURES } from '../support/engine.ts';
import { administer, type Gateway, START_MILLISECONDS, startGateway } from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';
import { exchange, statusesIn } from '../support/raw-http.ts';

/** Only administrators are told of it. */
const CANARY = 'canary-7f3a';
const SECRETIVE = 'treasury';
const ADMIN = '/admin/v1/tenants';

let gateway: Gateway;
let userKey = '';
beforeAll(async () => {
  const tiny = ['--model', join(FIXTURES, 'models', 'llama'), '--weights', 'f32', '--pool-megabytes', '64'];
  gateway = await startGateway({
    ...{ auth: 'keys', adapters: null, args: [...tiny, '--log-level', 'info'] },
    env: { POLYLORA_OPERATOR_KEY: OPERATOR_KEY },
  });
  await administer(gateway, 'tenants', { id: SECRETIVE, name: CANARY });
  await administer(gateway, 'tenants', { id: 'acme' });
  userKey = (await administer(gateway, 'keys', { tenant: 'acme' })).key;
}, START_MILLISECONDS);
afterAll(() => gateway?.stop());

const bearer = (key: string | null) => (key === null ? [] : [`authorization: Bearer ${key}`]);
const lines = (...all: string[]) => `${all.join('\r\n')}\r\n\r\n`;
const request = (target: string, key: string | null, method = 'GET', headers = ['host: localhost']) =>
  lines(`${method} ${target} HTTP/1.1`, ...headers, ...bearer(key), 'connection: close');

const TARGETS = [
  ADMIN,
  `/${ADMIN}`,
  `//${ADMIN}`,
  '/admin//v1/tenants',
  '/admin%2Fv1/tenants',
  '/admin%2fv1%2ftenants',
  '/admin%252Fv1/tenants',
  '/%61dmin/v1/tenants',
  '/%61%64%6d%69%6e/v1/tenants',
  '/%2561dmin/v1/tenants',
  '/ADMIN/v1/tenants',
  '/Admin/V1/Tenants',
  '/v1/../admin/v1/tenants',
  '/v1/%2e%2e/admin/v1/tenants',
  '/v1/..%2fadmin/v1/tenants',
  '/v1/..;/admin/v1/tenants',
  '/healthz/../admin/v1/tenants',
  '/docs/../admin/v1/tenants',
  '/docs/%2e%2e/admin/v1/tenants',
  '/./admin/./v1/./tenants',
  '/../../admin/v1/tenants',
  '\\admin\\v1\\tenants',
  '/\\admin/v1/tenants',
  '/healthz\\..\\admin\\v1\\tenants',
  '\\\\localhost\\admin\\v1\\tenants',
  `${ADMIN}/`,
  `${ADMIN}//`,
  `${ADMIN}%00`,
  `${ADMIN}%20`,
  `${ADMIN};x=/healthz`,
  `${ADMIN}?/healthz`,
  `${ADMIN}#/healthz`,
  `/healthz?/../..${ADMIN}`,
  '/healthz%3f/../admin/v1/tenants',
  '/healthz#/../admin/v1/tenants',
  `http://localhost${ADMIN}`,
  `HTTP://LOCALHOST${ADMIN}`,
  `http://localhost/healthz/..${ADMIN}`,
  `http://admin:secret@localhost${ADMIN}`,
  `http://localhost\\${ADMIN}`,
  `http:${ADMIN}`,
  `http:///${ADMIN}`,
  `http://[::1${ADMIN}`,
  `http://%zz${ADMIN}`,
  `https://127.0.0.1:1${ADMIN}`,
  `file://${ADMIN}`,
  `javascript:${ADMIN}`,
  'admin/v1/tenants',
  'localhost:80',
  '*',
  '?',
  '#',
  '/%',
  '/%zz/../admin/v1/tenants',
  '/%ff%fe/v1',
  '/\u00e9dmin/v1/tenants',
  `/admin/v1/tenants/${SECRETIVE}`,
  `//admin/v1/tenants/${SECRETIVE}`,
  `/v1/..//admin/v1/tenants/${SECRETIVE}`,
  `/key/../admin/v1/tenants/${SECRETIVE}`,
  '/key/info/../../admin/v1/tenants',
  '/admin/adapters/../v1/tenants',
  '/admin/session/../v1/tenants',
  '/admin/session/../../metrics',
  '/admin/assets/../v1/tenants',
  '/admin/assets/..%2f..%2f..%2fpackage.json',
  '/admin/assets/..\\..\\index.html',
  '/admin%2fsession',
  '//admin/session',
  '//admin/assets/x',
  '//key/list',
  '/KEY/list',
  '//metrics',
  '/metrics/',
  '/%6detrics',
  '/v1/../metrics',
  'http://localhost/metrics',
];
/** What the parser takes for one, and what it does not. */
const METHODS = ['GET', 'HEAD', 'OPTIONS', 'DELETE', 'PATCH', 'TRACE', 'PROPFIND', 'M-SEARCH', 'get'];

/** Of those that are not refused as such; HTTP/1.0 has no host. */
const HEADS: [string, (target: string, key: string | null) => string][] = [
  ['two hosts', (target, key) => request(target, key, 'GET', ['host: localhost', 'host: admin.internal'])],
  ['a host that is a path', (target, key) => request(target, key, 'GET', [`host: localhost${ADMIN}`])],
  ['a host with a query', (target, key) => request(target, key, 'GET', ['host: localhost?x'])],
  ['a host with a user', (target, key) => request(target, key, 'GET', ['host: admin@localhost'])],
  ['a host of no address', (target, key) => request(target, key, 'GET', ['host: [::'])],
  ['an empty host', (target, key) => request(target, key, 'GET', ['host:'])],
  ['no host', (target, key) => request(target, key, 'GET', [])],
  ['HTTP/1.0', (target, key) => lines(`GET ${target} HTTP/1.0`, ...bearer(key))],
  ['HTTP/0.9', (target) => `GET ${target}\r\n\r\n`],
  ['HTTP/2', (target, key) => lines(`GET ${target} HTTP/2.0`, 'host: localhost', ...bearer(key))],
  [
    'a folded header',
    (target, key) =>
      lines(
        `GET ${target} HTTP/1.1`,
        'host: localhost',
        'x: y',
        ` ${bearer(key)[0] ?? 'z'}`,
        'connection: close',
      ),
  ],
  [
    'a folded key',
    (target, key) =>
      lines(
        `GET ${target} HTTP/1.1`,
        'host: localhost',
        'authorization: Bearer',
        ` ${key}`,
        'connection: close',
      ),
  ],
  [
    'a space before a colon',
    (target, key) =>
      lines(
        `GET ${target} HTTP/1.1`,
        'host: localhost',
        `authorization : Bearer ${key}`,
        'connection: close',
      ),
  ],
  [
    'a bare line feed',
    (target, key) =>
      `GET ${target} HTTP/1.1\nhost: localhost\nauthorization: Bearer ${key}\nconnection: close\n\n`,
  ],
  [
    'two keys',
    (target, key) =>
      lines(
        `GET ${target} HTTP/1.1`,
        ...['host: localhost', 'authorization: Bearer x', ...bearer(key), 'connection: close'],
      ),
  ],
  [
    'headers that proxies set',
    (target, key) =>
      request(target, key, 'GET', [
        ...['host: localhost', 'x-forwarded-for: 127.0.0.1', 'x-forwarded-host: localhost', 'x-real-ip: ::1'],
        ...['x-original-url: /healthz', 'x-rewrite-url: /healthz', 'forwarded: for=127.0.0.1;host=localhost'],
        'x-http-method-override: GET',
      ]),
  ],
  [
    'another protocol asked for',
    (target, key) =>
      lines(
        `GET ${target} HTTP/1.1`,
        ...[
          'host: localhost',
          'connection: upgrade, http2-settings',
          'upgrade: h2c',
          'http2-settings: AAMAAABkAAQAoAAAAAIAAAAA',
        ],
        ...bearer(key),
      ),
  ],
];

/** Two lengths: where they are read in two ways, what follows is a request that nobody has looked at. */
function smuggled(key: string | null, ...lengths: string[]): string {
  const inner = request(ADMIN, key);
  return `${lines(
    'POST /healthz HTTP/1.1',
    'host: localhost',
    'content-type: application/json',
    ...bearer(key),
    ...lengths,
  )}0\r\n\r\n${inner}`;
}
const LENGTHS = [
  ['content-length: 5', 'transfer-encoding: chunked'],
  ['transfer-encoding: chunked', 'content-length: 5'],
  ['content-length: 5', 'content-length: 0'],
  ['content-length: 5, 5'],
  ['content-length: +5'],
  ['content-length: -1'],
  ['content-length: 0x5'],
  ['content-length: 18446744073709551616'],
  ['transfer-encoding: chunked, identity'],
  ['transfer-encoding: xchunked'],
  ['transfer-encoding:\tchunked', 'content-length: 5'],
  ['transfer-encoding : chunked', 'content-length: 5'],
  ['transfer-encoding: identity', 'content-length: 5'],
];

describe.each([
  ['no key', () => null],
  ["a tenant's key", () => userKey],
  ['the key of nobody', () => `plk_${'A'.repeat(43)}`],
] satisfies [string, () => string | null][])('with %s', (_, keyOf) => {
  /** Refused, in OpenAI's form where it is refused by us, or what everybody is told. */
  async function holds(bytes: string | Buffer, what: string): Promise<void> {
    const text = await exchange(gateway.url, bytes);
    const statuses = statusesIn(text);
    expect(text, what).not.toContain(CANARY);
    expect(text, what).not.toContain('# HELP');
    expect(statuses.length, `${what}: ${text}`).toBeGreaterThan(0);
    for (const status of statuses) {
      const isPublic = status === 200 && /\r\n\r\n(?:\{"status":"ok"\})?$/.test(text);
      expect(isPublic || (status >= 400 && status < 500), `${what}: ${text}`).toBe(true);
    }
  }

  it("no target is an administrator's answer or a fault", async () => {
    for (const target of TARGETS)
      for (const method of METHODS)
        await holds(Buffer.from(request(target, keyOf(), method), 'utf8'), `${method} ${target}`);
    // Of which Node makes no request: it hangs up.
    expect(await exchange(gateway.url, request('localhost:80', keyOf(), 'CONNECT'))).toBe('');
  }, 120_000);

  it('no odd head is, or a fault', async () => {
    for (const [what, head] of HEADS)
      for (const target of [ADMIN, `/${ADMIN}`, `http://localhost${ADMIN}`, '/metrics'])
        await holds(head(target, keyOf()), `${what}: ${target}`);
  }, 60_000);

  it('nothing is hidden behind a length that can be read in two ways', async () => {
    for (const lengths of LENGTHS) await holds(smuggled(keyOf(), ...lengths), lengths.join('; '));
  }, 120_000);
});

it("what an operator asks for so plainly is answered, so that the refusals are the keys'", async () => {
  for (const target of [ADMIN, `http://localhost${ADMIN}`, '/v1/../admin/v1/tenants', '/./admin/v1/tenants'])
    expect(await exchange(gateway.url, request(target, OPERATOR_KEY))).toContain(CANARY);
  expect(gateway.child.exitCode).toBeNull();
  expect(gateway.logs().filter((line) => /"level":(?:50|60|"error"|"fatal")/.test(line))).toEqual([]);
});
