/** What `polylora cache` says, and what it sends, against a server that answers as it is told. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { runCache } from './cache.ts';
import type { Surroundings } from './surroundings.ts';

let server: Server;
let asked: { readonly method: string; readonly url: string; readonly body: unknown }[] = [];
let answer: object = {};
beforeAll(async () => {
  server = createServer(async (request, response) => {
    const body = await text(request);
    const { method = '', url = '' } = request;
    asked.push({ method, url, body: body === '' ? null : JSON.parse(body) });
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
});
afterAll(() => server.close());
beforeEach(() => {
  asked = [];
});

/** A terminal on which this is typed; null: there is none. */
function run(args: readonly string[], typed: string | null = null): Promise<string> {
  const { port } = server.address() as AddressInfo;
  const env = { POLYLORA_URL: `http://127.0.0.1:${port}`, POLYLORA_OPERATOR_KEY: 'a-key' };
  const isTTY = typed !== null;
  const [stdin, stderr] = [new PassThrough(), new PassThrough()].map((stream) =>
    Object.assign(stream, { isTTY }),
  );
  if (typed !== null) stdin?.write(typed);
  return runCache(args, { stdin, stdout: new PassThrough(), stderr, env } as unknown as Surroundings);
}

it.each([
  [['purge']],
  [['purge', '--yes']],
  [['purge', '--all', '--tenant', 'acme']],
  [['purge', '--al']],
  [['entries', 'one']],
  [['report']],
])('refuses what is not said well, and asks nothing: %j', async (args) => {
  await expect(run(args)).rejects.toMatchObject({ name: 'UsageError' });
  expect(asked).toEqual([]);
});

it('asks before it takes anything out, with how much it is', async () => {
  answer = { entries: 1, bytes: 2_345 };
  const filter = { tenant: 'acme', tag: 'docs' };
  const args = ['purge', '--tenant', 'acme', '--tag', 'docs'];
  await expect(run(args, 'n\n')).rejects.toThrow('Nothing was removed.');
  expect(asked.map(({ body }) => body)).toEqual([{ ...filter, dry_run: true }]);
  expect(await run(args, 'y\n')).toBe('Removed 1 entry (2.3 kB).\n');
  await expect(run(args)).rejects.toThrow(/^Remove 1 entry \(2\.3 kB\) from the cache\? .*say --yes/);
  asked = [];
  expect(await run([...args, '--dry-run'])).toBe('Would remove 1 entry (2.3 kB).\n');
  expect(await run(['purge', '--all', '--yes'])).toBe('Removed 1 entry (2.3 kB).\n');
  expect(asked).toEqual([
    { method: 'POST', url: '/admin/v1/cache/purge', body: { ...filter, dry_run: true } },
    { method: 'POST', url: '/admin/v1/cache/purge', body: { all: true, dry_run: false } },
  ]);
});

it('shows questions in one line each, and nothing that moves a cursor', async () => {
  const entry = {
    id: 'e1',
    tenant: 'acme',
    model: 'base',
    category: 'code',
    tags: [],
    created: 0,
    bytes: 10,
    hits: 3,
  };
  const question = `a\n\u001b[31mb ${'long '.repeat(40)}`;
  answer = { data: [{ ...entry, question }], last_id: '0.e1', has_more: true };
  const said = await run(['entries', '--questions', '--category', 'code', '--limit', '1']);
  expect(asked[0]?.url).toBe('/admin/v1/cache/entries?category=code&limit=1&questions=true');
  const [, line = '', more] = said.split('\n');
  expect(line).toContain(
    'e1     acme    base   code      -     1970-01-01T00:00:00Z  10 B  3     a \\u001b[31mb long',
  );
  expect(line.endsWith('...')).toBe(true);
  expect(more).toBe('There are older ones: --after 0.e1');
});

it("says of a tenant's own cache what is told of it", async () => {
  answer = {
    ...{
      tenant: 'acme',
      finds: 'similar',
      embedding: { state: 'ready' },
      since: 0,
      entries: 1,
      bytes: 1_000,
    },
    ...{ in_memory: null, index: null, store: null, load: null },
    categories: [
      {
        ...{
          name: 'code',
          enabled: true,
          recognized: true,
          similarity_threshold: 0.92,
          ttl_seconds: 5_400,
          entries: 1,
          bytes: 1_000,
        },
        ...{
          hits: { exact: 3, similar: 2, shared: 1 },
          misses: 6,
          reports: 4,
          hit_rate: 0.5,
          break_even_hit_rate: null,
        },
        ...{ saved: { compute_seconds: 90 }, false_hits: null },
      },
    ],
  };
  const said = await run(['status', '--tenant', 'acme']);
  expect(asked[0]?.url).toBe('/admin/v1/cache?tenant=acme');
  expect(said).toContain(
    'tenant        acme\nentries       1 entry (1.0 kB)\nfinds         equal and similar questions\n',
  );
  expect(said).not.toMatch(/store|wait/);
  expect(said.trimEnd().split('\n').at(-1)?.split(/ {2,}/)).toEqual([
    ...['code', '1', '1.0 kB', '0.920', '1.5 h', '3', '2', '1', '6', '50.0 %', '-', '1.5 min', '-', '4'],
  ]);
});
