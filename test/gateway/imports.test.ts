/** Adapters that the server fetches itself, as an operator asks for them. */
import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  DEMO_ADAPTERS,
  type Gateway,
  launch,
  START_MILLISECONDS,
  startGateway,
  until,
} from '../support/gateway.ts';
import { LocalHub } from '../support/hub.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';
import { S3_ENVIRONMENT, type S3Server, startS3 } from '../support/s3.ts';

/** What these tests read in the admin API's answers. */
interface Body {
  readonly id: string;
  readonly state: string;
  readonly bytes_done: number;
  readonly error: { readonly code: string };
  readonly releases: readonly { readonly source: object }[];
}

const TOKEN = 'hf_canaryOfTheTests';

describe('imports through the gateway, whose adapters are kept in S3', () => {
  const hub = new LocalHub();
  let s3: S3Server;
  let home: string;
  let gateway: Gateway;
  let start: () => Promise<Gateway>;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'polylora-gateway-imports-'));
    await hub.start();
    s3 = await startS3();
    const blobs = s3.location();
    start = () =>
      startGateway({
        args: [
          ...['--store', join(home, 'store'), '--blobs', blobs, '--s3-endpoint', s3.endpoint],
          ...['--hub-url', hub.url, '--import-hosts', `${hub.url},${hub.cdnUrl}`],
        ],
        env: { ...S3_ENVIRONMENT, POLYLORA_OPERATOR_KEY: OPERATOR_KEY, POLYLORA_SECRET_KEY: 'ab'.repeat(32) },
      });
    gateway = await start();
    const file = (name: string) => readFile(join(DEMO_ADAPTERS, 'pirate', name));
    hub.commit(
      'acme/pirate',
      {
        'adapter_config.json': await file('adapter_config.json'),
        'adapter_model.safetensors': await file('adapter_model.safetensors'),
      },
      TOKEN,
    );
  }, START_MILLISECONDS);
  afterAll(async () => {
    await gateway.stop();
    await hub.stop();
    await s3.stop();
    await rm(home, { recursive: true });
  });

  const environment = () => ({ POLYLORA_URL: gateway.url, POLYLORA_OPERATOR_KEY: OPERATOR_KEY });
  async function run(...args: string[]) {
    const { exited, output } = launch(['adapters', ...args], environment());
    return { status: await exited, ...output };
  }
  const admin = (method: string, path: string, body?: object) =>
    fetch(`${gateway.url}/admin/v1/${path}`, {
      method,
      headers: { authorization: `Bearer ${OPERATOR_KEY}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const bodyOf = async (response: Response) => (await response.json()) as Body;
  const answer = async (model: string) => {
    const completion = await gateway.client.chat.completions.create({
      model,
      messages: [{ role: 'user', content: 'What is the capital of France?' }],
      max_tokens: 12,
      temperature: 0,
    });
    return completion.choices[0]?.message.content;
  };

  it('takes an adapter from the hub to an answer, with a token that nobody sees', async () => {
    const denied = await run('import', 'hf:acme/pirate', '--name', 'acme/voice');
    expect(denied).toMatchObject({ status: 1, stderr: expect.stringContaining('(source_denied)') });

    // As `polylora adapters token < file`.
    const told = execFileSync(
      process.execPath,
      [join(import.meta.dirname, '..', '..', 'gateway', 'bin', 'polylora.js'), 'adapters', 'token'],
      { input: `${TOKEN}\n`, encoding: 'utf8', env: { ...process.env, ...environment() } },
    );
    expect(told).toBe('The server has the token.\n');
    expect(await (await admin('GET', 'sources/hub/token')).json()).toMatchObject({ set: true });

    const done = await run('import', 'hf:acme/pirate@main', '--name', 'acme/voice', '--tag', 'stable');
    expect(done).toMatchObject({ status: 0, stdout: expect.stringMatching(/^release +acme\/voice@v1\n/) });
    expect(done.stderr).toMatch(/^The server fetches 1\.9 MB\.\n/);
    await run('grant', 'acme/voice', '--tenant', '*');
    expect(await answer('acme/voice@stable')).toBe(await answer('pirate'));
    const details = await bodyOf(await admin('GET', 'adapters/acme%2Fvoice'));
    expect(details.releases[0]?.source).toMatchObject({ kind: 'hub', repo: 'acme/pirate' });
    const listed = await run('imports');
    expect(listed.stdout).toMatch(/ done +1\.9 MB of 1\.9 MB .* acme\/voice +hf:acme\/pirate@main$/m);

    const seen = [
      gateway.output.stdout,
      gateway.output.stderr,
      JSON.stringify(details),
      listed.stdout,
      denied.stderr,
    ];
    seen.push(await (await fetch(`${gateway.url}/metrics`)).text());
    for (const name of ['polylora.db', 'polylora.db-wal'])
      seen.push(await readFile(join(home, 'store', name), 'latin1').catch(() => ''));
    for (const text of seen) expect(text).not.toContain(TOKEN);
  });

  it('keeps the bytes in S3, and serves them while S3 is away', async () => {
    expect(await readdir(join(home, 'store', 'blob-cache'))).toHaveLength(1);
    await s3.goAway();
    try {
      expect(await answer('acme/voice')).toBe(await answer('pirate'));
      const refused = await run('push', join(DEMO_ADAPTERS, 'headline'), '--name', 'acme/none');
      expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining('(storage_unavailable)') });
    } finally {
      await s3.comeBack();
    }
    expect((await run('push', join(DEMO_ADAPTERS, 'headline'), '--name', 'acme/none')).status).toBe(0);
  });

  it.each([
    [{ source: 'hf:acme/pirate' }, 400, 'missing_required_parameter'],
    [{ name: 'acme/x' }, 400, 'missing_required_parameter'],
    [{ source: 'https://169.254.169.254/', name: 'acme/x' }, 400, 'source_invalid'],
    [{ source: 'hf:acme/pirate', name: '../x' }, 400, 'adapter_field_invalid'],
    [{ source: 'hf:acme/pirate', name: 'imports' }, 409, 'adapter_name_taken'],
    [{ source: 'hf:acme/pirate', name: 'acme/x', tags: 'a' }, 400, 'invalid_value'],
    [{ source: 'hf:acme/pirate', name: 'acme/x', url: 'x' }, 400, 'invalid_value'],
  ])('refuses %j', async (body, status, code) => {
    const response = await admin('POST', 'adapters/imports', body);
    expect([response.status, (await bodyOf(response)).error.code]).toEqual([status, code]);
  });

  it('answers with an id, shows how far it is, and cancels', async () => {
    hub.hold();
    const asked = await admin('POST', 'adapters/imports', { source: 'hf:acme/pirate', name: 'acme/slow' });
    const job = await bodyOf(asked);
    expect([asked.status, job]).toEqual([202, expect.objectContaining({ object: 'adapter.import' })]);
    const again = await admin('POST', 'adapters/imports', { source: 'hf:acme/pirate', name: 'acme/slow' });
    expect((await bodyOf(again)).id).toBe(job.id);
    const state = async () => bodyOf(await admin('GET', `adapters/imports/${job.id}`));
    await until(async () => (await state()).bytes_done > 100);
    expect(await state()).toMatchObject({ state: 'fetching', error: null, result: null });
    expect(await run('cancel', job.id)).toMatchObject({
      status: 0,
      stdout: 'The import of acme/slow is cancelled.\n',
    });
    expect(await state()).toMatchObject({ state: 'cancelled' });
    expect((await admin('DELETE', `adapters/imports/${job.id}`)).status).toBe(409);
    expect((await admin('GET', 'adapters/imports/import-none')).status).toBe(404);
    hub.release();
  });

  it(
    'says after a crash that an import was broken off',
    async () => {
      hub.hold();
      const asked = await admin('POST', 'adapters/imports', { source: 'hf:acme/pirate', name: 'acme/crash' });
      const { id } = await bodyOf(asked);
      const state = async () => bodyOf(await admin('GET', `adapters/imports/${id}`));
      await until(async () => (await state()).bytes_done > 100);
      gateway.child.kill('SIGKILL');
      await gateway.exited;
      gateway = await start();
      await until(async () => (await state()).state === 'failed', 30);
      expect((await state()).error.code).toBe('import_interrupted');
      hub.release();
      expect((await run('import', 'hf:acme/pirate', '--name', 'acme/crash')).status).toBe(0);
      // What was there before is there still, from the copy or from S3.
      expect(await answer('acme/voice')).toBe(await answer('pirate'));
      expect((await stat(join(home, 'store', 'blob-cache'))).isDirectory()).toBe(true);
    },
    START_MILLISECONDS,
  );
});
