/**
 * The least that a gateway of the same parts could be: Hono and undici, one HMAC of the key and one zod parse of the body, and
 * nothing that a tenant needs. Machines differ by much; beside this it shows what is the gateway's and what is the machine's.
 *
 * `node pass-through.js URL`: writes its port to standard output.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { Pool } from 'undici';
import { z } from 'zod';

const [upstream = ''] = process.argv.slice(2);
const secret = randomBytes(32);
const pool = new Pool(upstream);
const body = z.looseObject({
  model: z.string(),
  messages: z.array(z.object({ role: z.string(), content: z.string() })),
});

const app = new Hono();
app.post('/v1/chat/completions', async (c) => {
  createHmac('sha256', secret)
    .update(c.req.header('authorization') ?? '')
    .digest();
  const answer = await pool.request({
    method: 'POST',
    path: '/v1/chat/completions',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body.parse(await c.req.json())),
  });
  return c.body(await answer.body.text(), 200, { 'content-type': 'application/json' });
});
serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) => process.stdout.write(`${port}\n`));
