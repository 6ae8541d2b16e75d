/** What another server is told of who asks: enough to tell users apart, and nothing of who they are. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openApp, type TestApp } from '../support/app.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';
import { answerCompletion, startUpstream, type TestUpstream } from '../support/upstream.ts';

let upstream: TestUpstream;
let app: TestApp;
beforeEach(async () => {
  upstream = await startUpstream(100, (response) => answerCompletion(response), { prefixes: 'tenant' });
  app = await openApp({ backend: upstream.backend });
});
afterEach(async () => {
  await app.close();
  await upstream.stop();
});

async function keyOf(tenant: string): Promise<string> {
  const admin = (path: string, body: object) => app.ask(OPERATOR_KEY, 'POST', `/admin/v1/${path}`, body);
  await admin('tenants', { id: tenant, models: ['*'] });
  return (await admin('keys', { tenant })).json.key;
}

const HINTS = ['user', 'safety_identifier', 'prompt_cache_key'] as const;
const SAID = {
  user: 'ann-canary',
  safety_identifier: 'ann-canary',
  prompt_cache_key: 'thread-canary',
  metadata: { team: 'metadata-canary' },
};

it('is the same for one tenant, another for the next, and never what was said', async () => {
  const keys = [await keyOf('acme-canary'), await keyOf('other')];
  for (const key of [keys[0]!, keys[0]!, keys[1]!]) {
    const body = { model: 'base', prompt: 'Hi', ...SAID };
    expect((await app.ask(key, 'POST', '/v1/completions', body)).status).toBe(200);
  }
  const [first, again, other] = upstream.asked;
  for (const field of [...HINTS, 'cache_salt']) {
    expect(first?.[field]).toMatch(/^[\w-]{43}$/);
    expect(again?.[field]).toBe(first?.[field]);
    expect(other?.[field]).not.toBe(first?.[field]);
  }
  // A user by either name is the same user.
  expect(first?.safety_identifier).toBe(first?.user);
  expect(JSON.stringify(upstream.asked)).not.toContain('canary');
  expect(first).not.toHaveProperty('metadata');
});

it.each([
  ['/v1/chat/completions', { messages: [{ role: 'user', content: 'Hi' }] }],
  ['/v1/responses', { input: 'Hi', store: false }],
  ['/v1/embeddings', { input: 'Hi' }],
])('is told by %s too, and nothing where nothing is said', async (path, body) => {
  const key = await keyOf('acme');
  await app.ask(key, 'POST', path, { model: 'base', ...body });
  await app.ask(key, 'POST', path, {
    model: 'base',
    ...body,
    ...(path.endsWith('embeddings') ? { user: 'ann' } : SAID),
  });
  const [without, said] = upstream.asked;
  for (const field of HINTS) expect(without).not.toHaveProperty(field);
  expect(said?.user).toMatch(/^[\w-]{43}$/);
  if (!path.endsWith('embeddings')) expect(said?.prompt_cache_key).toMatch(/^[\w-]{43}$/);
});
