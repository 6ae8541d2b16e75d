import { Hono } from 'hono';
import { TrieRouter } from 'hono/router/trie-router';
import { describe, expect, it } from 'vitest';
import { RememberingRouter } from './remembering-router.ts';

/** The same app on both routers. */
function apps(): readonly Hono[] {
  return [undefined, new RememberingRouter<never>(new TrieRouter())].map((router) => {
    const app = router === undefined ? new Hono() : new Hono({ router });
    app.use('*', async (c, next) => {
      await next();
      c.header('all', 'yes');
    });
    app.use('/a/*', async (c, next) => {
      await next();
      c.header('below-a', 'yes');
    });
    app.get('/a/:id', (c) => c.text(`a ${c.req.param('id')}`)).all((c) => c.text('not allowed', 405));
    app.get('/a/fixed', (c) => c.text(`never: ${c.req.param('id' as never)}`));
    app.post('/b', (c) => c.text('b')).all((c) => c.text('not allowed', 405));
    app.get('/c/:rest{.+}', (c) => c.text(`c ${c.req.param('rest')}`));
    return app;
  });
}

const ASKED = [
  ...[['GET', '/a/1'] as const, ['GET', '/a/fixed'] as const, ['GET', '/a/2'] as const],
  ...[['PUT', '/a/1'] as const, ['POST', '/b'] as const, ['GET', '/b'] as const, ['POST', '/b/'] as const],
  ...[['HEAD', '/a/fixed'] as const, ['GET', '/c/d/e'] as const, ['GET', '/'] as const],
];

describe('RememberingRouter', () => {
  it('leads where its router does, however often it is asked', async () => {
    const [plain, remembering] = apps();
    const answer = async (app: Hono, [method, path]: readonly [string, string]) => {
      const response = await app.request(path, { method });
      return [response.status, await response.text(), [...response.headers]];
    };
    for (let round = 0; round < 3; round++)
      for (const asked of ASKED)
        expect(await answer(remembering!, asked)).toEqual(await answer(plain!, asked));
  });

  it('finds what was added after it was asked', () => {
    const router = new RememberingRouter<string>(new TrieRouter());
    router.add('GET', '/a', 'first');
    const names = () => router.match('GET', '/a')[0].map(([name]) => name);
    expect(names()).toEqual(['first']);
    router.add('ALL', '*', 'second');
    expect(names()).toEqual(['first', 'second']);
  });
});
