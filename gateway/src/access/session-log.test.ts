/** RELIABILITY 25: what the log has of people who sign in. */
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openApp, type TestApp } from '../../../test/support/app.ts';
import { OPERATOR_KEY } from '../../../test/support/operator-key.ts';

const WRONG = 'a-key-that-is-none';

let gateway: TestApp;
let logged = '';

beforeAll(async () => {
  const write = (line: string) => {
    logged += line;
  };
  gateway = await openApp({ logger: pino({ level: 'trace' }, { write }) });
});
afterAll(() => gateway.close());

it('has who has signed in and what was refused, but no key, no cookie and no token', async () => {
  const send = (method: string, path: string, body: object | null, headers: Record<string, string> = {}) =>
    gateway.app.request(path, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      body: body === null ? null : JSON.stringify(body),
    });
  const made = await gateway.ask(OPERATOR_KEY, 'POST', '/admin/v1/keys', { role: 'operator' });
  const signedIn = await send('POST', '/admin/session', { key: made.json.key });
  const { csrf } = (await signedIn.json()) as { csrf: string };
  const [cookie = ''] = (signedIn.headers.get('set-cookie') ?? '').split(';');
  await send('POST', '/admin/session', { key: WRONG });
  await send('POST', '/admin/session', { key: WRONG, more: WRONG });
  await send('POST', '/admin/v1/keys', {}, { cookie });
  await send('POST', '/admin/v1/keys', {}, { cookie, 'x-csrf-token': csrf });
  await send('GET', '/admin/v1/keys', null, { cookie: `${cookie}x` });
  for (const told of [
    'csrf_token_required',
    'session_required',
    'invalid_api_key',
    `"key":"${made.json.id}"`,
  ])
    await expect.poll(() => logged).toContain(told);
  const text = cookie.slice(cookie.indexOf('=') + 1);
  for (const secret of [OPERATOR_KEY, made.json.key, WRONG, csrf, text, text.split('.')[3] ?? text])
    expect(logged).not.toContain(secret);
});
