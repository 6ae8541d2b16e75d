/** The admin dashboard's files as browsers get them, and what it takes of proxies before the server. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { closeServer, createHttpServer, listen } from '../../gateway/src/server.ts';
import { openApp, type TestApp, type TestAppOptions } from '../support/app.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';

const PAGE =
  '<!doctype html><title>Polylora</title><script type="module" src="/admin/assets/app-1a2b.js"></script>';
const SCRIPT = `console.log('${'polylora '.repeat(500)}');\n`;
const CANARY = 'canary-of-the-dashboard';

let folder = '';
let gateway: Awaited<ReturnType<typeof served>>;

/** A gateway that listens. */
async function served(options: TestAppOptions): Promise<TestApp & { readonly url: string }> {
  const app = await openApp(options);
  const server: Server = createHttpServer(app.app.fetch);
  const url = `http://127.0.0.1:${await listen(server, '127.0.0.1', 0)}`;
  return {
    ...app,
    url,
    async close() {
      await closeServer(server, 0);
      await app.close();
    },
  };
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'polylora-dashboard-'));
  const dist = join(folder, 'dist');
  await mkdir(join(dist, 'assets', 'fonts'), { recursive: true });
  await writeFile(join(dist, 'index.html'), PAGE);
  await writeFile(join(dist, 'assets', 'app-1a2b.js'), SCRIPT);
  await writeFile(join(dist, 'assets', 'tiny-3c4d.css'), 'a{}');
  await writeFile(join(dist, 'assets', 'picture-5e6f.png'), Buffer.alloc(2_000));
  for (const path of ['secret.txt', 'dist/secret.txt', 'dist/assets/fonts/secret.txt'])
    await writeFile(join(folder, path), CANARY);
  gateway = await served({ dashboardDirectory: dist });
});
afterAll(async () => {
  await gateway.close();
  await rm(folder, { recursive: true });
});

/** Bytes as they come: `fetch` would take them out of their encoding. */
async function get(path: string, headers: Record<string, string> = {}, method: 'GET' | 'HEAD' = 'GET') {
  const answer = await request(`${gateway.url}${path}`, { method, headers });
  const bytes = Buffer.from(await answer.body.arrayBuffer());
  return { status: answer.statusCode, headers: answer.headers, bytes };
}

describe('the pages', () => {
  it.each([
    '/admin',
    '/admin/',
    '/admin/adapters',
    '/admin/adapters/',
    '/admin/adapters/acme%2Fsupport/v3',
    '/admin/cache/categories/time-sensitive',
  ])('%s is the app, without a key', async (path) => {
    const { status, headers, bytes } = await get(path);
    expect([status, bytes.toString()]).toEqual([200, PAGE]);
    expect(headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-cache',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'content-security-policy':
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    });
    expect(headers['access-control-allow-origin']).toBeUndefined();
  });

  it('are asked for again, and sent again only when they have changed', async () => {
    const { headers } = await get('/admin');
    const etag = String(headers.etag);
    expect(await get('/admin', { 'if-none-match': etag })).toMatchObject({
      status: 304,
      bytes: Buffer.alloc(0),
    });
    expect((await get('/admin/adapters', { 'if-none-match': `"x", W/${etag}` })).status).toBe(304);
    expect((await get('/admin', { 'if-none-match': '"x"' })).status).toBe(200);
  });

  it('are for reading', async () => {
    expect(await get('/admin', {}, 'HEAD')).toMatchObject({ status: 200, bytes: Buffer.alloc(0) });
    const answer = await gateway.ask(OPERATOR_KEY, 'POST', '/admin/adapters');
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET']);
  });

  it('say how to build the dashboard where it is not built, without a script, and are there once it is', async () => {
    const dashboardDirectory = join(folder, 'later');
    const app = await openApp({ dashboardDirectory });
    try {
      const answer = await app.ask(null, 'GET', '/admin');
      expect([answer.status, answer.headers.get('cache-control')]).toEqual([503, 'no-store']);
      expect(answer.text).toContain('node scripts/setup.mjs');
      expect(answer.text).not.toContain('<script');
      expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'");
      expect((await app.ask(null, 'GET', '/admin/assets/app-1a2b.js')).status).toBe(404);
      await mkdir(dashboardDirectory);
      await writeFile(join(dashboardDirectory, 'index.html'), PAGE);
      expect(await app.ask(null, 'GET', '/admin')).toMatchObject({ status: 200, text: PAGE });
    } finally {
      await app.close();
    }
  });

  it('are counted as one route, whatever they are called', async () => {
    for (const path of ['/admin', '/admin/adapters/acme%2Fone', '/admin/assets/x']) await get(path);
    const { text } = await gateway.ask(OPERATOR_KEY, 'GET', '/metrics');
    const routes = [...text.matchAll(/polylora_http_requests_total\{route="(\/admin[^"]*)"/g)];
    expect(new Set(routes.map(([, route]) => route))).toEqual(
      new Set(['/admin', '/admin/:page', '/admin/assets/:file']),
    );
  });
});

describe('the files', () => {
  it.each([
    ['br', (bytes: Buffer) => brotliDecompressSync(bytes)],
    ['gzip', (bytes: Buffer) => gunzipSync(bytes)],
  ] as const)('are kept for ever, and sent as %s to who takes it', async (encoding, decompressed) => {
    const accepted = encoding === 'br' ? 'gzip, deflate, br, zstd' : 'gzip, br;q=0';
    const { status, headers, bytes } = await get('/admin/assets/app-1a2b.js', {
      'accept-encoding': accepted,
    });
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'content-encoding': encoding,
      'content-type': 'text/javascript; charset=utf-8',
      'cache-control': 'public, max-age=31536000, immutable',
      vary: 'accept-encoding',
      'x-content-type-options': 'nosniff',
    });
    expect(decompressed(bytes).toString()).toBe(SCRIPT);
    expect(bytes.length).toBeLessThan(SCRIPT.length / 10);
    expect(headers.etag).not.toBe((await get('/admin/assets/app-1a2b.js')).headers.etag);
  });

  it('are sent as they are to who says nothing, and where that is as small', async () => {
    const plain = await get('/admin/assets/app-1a2b.js');
    expect([plain.headers['content-encoding'], plain.bytes.toString()]).toEqual([undefined, SCRIPT]);
    for (const name of ['tiny-3c4d.css', 'picture-5e6f.png']) {
      const { status, headers } = await get(`/admin/assets/${name}`, { 'accept-encoding': 'br, gzip' });
      expect([status, headers['content-encoding']]).toEqual([200, undefined]);
    }
  });

  it('are those of the build and no others', async () => {
    for (const path of [
      '/admin/assets/none.js',
      '/admin/assets/secret.txt',
      '/admin/assets/fonts',
      '/admin/assets/fonts/secret.txt',
      '/admin/assets/index.html',
      '/admin/assets/../secret.txt',
      '/admin/assets/..%2fsecret.txt',
      '/admin/assets/%2e%2e%2f%2e%2e%2fsecret.txt',
      '/admin/assets/..%5c..%5csecret.txt',
      '/admin/assets/....//secret.txt',
      '/admin/assets/fonts%2fsecret.txt',
      '/admin/assets/app-1a2b.js%00.txt',
      '/admin/assets//etc/passwd',
    ]) {
      const { status, bytes } = await get(path);
      expect([path, [401, 404, 200].includes(status)]).toEqual([path, true]);
      // What browsers, and this client, make of dots is a page's address.
      if (status === 200) expect(bytes.toString()).toBe(PAGE);
      expect(bytes.toString()).not.toContain(CANARY);
    }
  });
});

describe('behind proxies', () => {
  const signIn = async (url: string, key: string, headers: Record<string, string>) => {
    const response = await fetch(`${url}/admin/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ key }),
    });
    await response.arrayBuffer();
    return { status: response.status, cookie: response.headers.get('set-cookie') ?? '' };
  };
  const secure = { 'x-forwarded-proto': 'https' };

  it('a cookie is for https only where a trusted one says that it came so', async () => {
    expect((await signIn(gateway.url, OPERATOR_KEY, secure)).cookie).not.toContain('Secure');
    const trusting = await served({ trustedProxies: ['127.0.0.0/8', '::1'] });
    try {
      expect((await signIn(trusting.url, OPERATOR_KEY, secure)).cookie).toMatch(/; Secure;|; Secure$/);
      expect((await signIn(trusting.url, OPERATOR_KEY, {})).cookie).not.toContain('Secure');
      expect(
        (await signIn(trusting.url, OPERATOR_KEY, { 'x-forwarded-proto': 'http' })).cookie,
      ).not.toContain('Secure');
    } finally {
      await trusting.close();
    }
  });

  it('over https a session is in a cookie that only this host can set over https, and in no other', async () => {
    const trusting = await served({ trustedProxies: ['127.0.0.1'] });
    try {
      const asked = async (cookie: string, headers: Record<string, string> = secure) => {
        const response = await fetch(`${trusting.url}/admin/session`, { headers: { ...headers, cookie } });
        await response.arrayBuffer();
        return response.status;
      };
      const { cookie } = await signIn(trusting.url, OPERATOR_KEY, secure);
      expect(cookie).toMatch(/^__Host-polylora_session=[\w.-]+; Path=\/; HttpOnly; Secure; SameSite=Strict$/);
      const [pair = ''] = cookie.split(';');
      const plain = pair.replace('__Host-', '');
      expect(await asked(pair)).toBe(200);
      expect(await asked(`polylora_session=x; ${pair}`)).toBe(200);
      expect(await asked(plain)).toBe(401);
      expect([await asked(plain, {}), await asked(pair, {})]).toEqual([200, 401]);
      const out = await fetch(`${trusting.url}/admin/session`, { method: 'DELETE', headers: secure });
      expect(out.headers.get('set-cookie')).toBe(
        '__Host-polylora_session=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=Strict',
      );
    } finally {
      await trusting.close();
    }
  });

  it('attempts are counted by the address that a trusted one tells, and by the connection else', async () => {
    const trusting = await served({ trustedProxies: ['127.0.0.1'] });
    const alone = await served({});
    try {
      const from = (url: string, forwarded: string) => signIn(url, 'wrong', { 'x-forwarded-for': forwarded });
      for (let i = 0; i < 10; i++) {
        // The client may have written the first of them itself.
        expect((await from(trusting.url, `198.51.100.${i}, 203.0.113.7`)).status).toBe(401);
        expect((await from(trusting.url, `2001:db8:0:1::${i}`)).status).toBe(401);
        expect((await from(alone.url, `198.51.100.${i}`)).status).toBe(401);
      }
      expect((await from(trusting.url, '203.0.113.7')).status).toBe(429);
      expect((await from(trusting.url, '203.0.113.8')).status).toBe(401);
      expect((await from(trusting.url, '2001:db8:0:1:ffff::1')).status).toBe(429);
      expect((await from(trusting.url, '2001:db8:0:2::1')).status).toBe(401);
      expect((await from(alone.url, '198.51.100.99')).status).toBe(429);
    } finally {
      await trusting.close();
      await alone.close();
    }
  });
});
