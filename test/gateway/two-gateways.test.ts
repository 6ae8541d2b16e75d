/** Two gateways that share a database and a bucket: what is changed at one holds at the other. */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { adapterForm } from '../support/adapter-form.ts';
import { DEMO_ADAPTERS, type Gateway, metric, START_MILLISECONDS, startGateway } from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';
import { type PostgresServer, postgresPrograms, startPostgres } from '../support/postgres.ts';
import { S3_ENVIRONMENT, type S3Server, startS3 } from '../support/s3.ts';

const CLIENT_KEY = 'key-of-a-tenant';
const TENANT = `key-${createHash('sha256').update(CLIENT_KEY).digest('hex').slice(0, 12)}`;
const programs = postgresPrograms();

describe.skipIf(programs === null)('two gateways on one database and one bucket', () => {
  let postgres: PostgresServer;
  let s3: S3Server;
  let home: string;
  let gateways: Gateway[] = [];

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'polylora-two-gateways-'));
    [postgres, s3] = [await startPostgres(programs!), await startS3()];
    const [database, blobs] = [await postgres.url(), s3.location()];
    const start = (name: string) =>
      startGateway({
        args: [
          ...['--store', join(home, name), '--database', database],
          ...['--blobs', blobs, '--s3-endpoint', s3.endpoint, '--pool-megabytes', '256'],
        ],
        env: { ...S3_ENVIRONMENT, POLYLORA_OPERATOR_KEY: OPERATOR_KEY },
      });
    gateways = await Promise.all([start('a'), start('b')]);
    const form = await adapterForm('acme/voice', join(DEMO_ADAPTERS, 'pirate'));
    expect((await admin(0, 'POST', '', form)).status).toBe(201);
  }, START_MILLISECONDS);
  afterAll(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()));
    await s3?.stop();
    await postgres?.stop();
    await rm(home, { recursive: true });
  });

  const admin = (at: number, method: string, path: string, body?: FormData | object) =>
    fetch(`${gateways[at]!.url}/admin/v1/adapters${path}`, {
      method,
      headers: {
        authorization: `Bearer ${OPERATOR_KEY}`,
        ...(body === undefined || body instanceof FormData ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: body instanceof FormData ? body : JSON.stringify(body) }),
    });
  const grants = (at: number, method: string, name = 'acme/voice') =>
    admin(at, method, `/${encodeURIComponent(name)}/grants`, { tenant: TENANT });
  const ask = (at: number, model = 'acme/voice') =>
    new OpenAI({
      baseURL: `${gateways[at]!.url}/v1`,
      apiKey: CLIENT_KEY,
      maxRetries: 0,
    }).chat.completions.create({
      model,
      messages: [{ role: 'user', content: 'What is the capital of France?' }],
      max_tokens: 12,
      temperature: 0,
    });
  const denied = { status: 404, code: 'model_not_found' };

  it('refuses at once at the other gateway what is not granted any more at this one', async () => {
    await expect(ask(1)).rejects.toMatchObject(denied);
    for (const changing of [0, 1]) {
      const other = 1 - changing;
      expect((await grants(changing, 'PUT')).status).toBe(200);
      // The other has it in its engine, and its prompt in the prefix cache: cached, and refused all the same.
      const text = (await ask(other)).choices[0]?.message.content;
      expect(text).toBe((await ask(other, 'pirate')).choices[0]?.message.content);
      const asking = performance.now();
      expect((await grants(changing, 'DELETE')).status).toBe(200);
      await expect(ask(other)).rejects.toMatchObject(denied);
      expect(performance.now() - asking).toBeLessThan(1_000);
    }
  }, 120_000);

  it('serves at the other what was exchanged at this one, and forgets what was removed', async () => {
    await grants(0, 'PUT');
    const before = await ask(1);
    const form = new FormData();
    form.set('name', 'acme/voice');
    for (const [part, file] of [
      ['config', 'adapter_config.json'],
      ['weights', 'adapter_model.safetensors'],
    ] as const)
      form.set(part, new Blob([await readFile(join(DEMO_ADAPTERS, 'headline', file))]), file);
    expect((await admin(0, 'POST', '', form)).status).toBe(201);
    expect((await ask(1)).system_fingerprint).not.toBe(before.system_fingerprint);
    expect((await admin(1, 'DELETE', `/${encodeURIComponent('acme/voice')}`)).status).toBe(200);
    await expect(ask(0)).rejects.toMatchObject(denied);
  }, 120_000);

  it('say that an adapter cannot be had while the bucket is away, count it, and serve it when the bucket is back', async () => {
    const folder = join(DEMO_ADAPTERS, 'support-triage');
    const form = await adapterForm('acme/late', folder);
    // Another content than the demo adapters', which both have.
    const config = JSON.parse(await readFile(join(folder, 'adapter_config.json'), 'utf8'));
    const other = JSON.stringify({ ...config, lora_alpha: config.lora_alpha * 1.5 });
    form.set('config', new Blob([other]), 'adapter_config.json');
    expect((await admin(0, 'POST', '', form)).status).toBe(201);
    expect((await grants(0, 'PUT', 'acme/late')).status).toBe(200);
    const failures = () => metric(gateways[1]!, 'polylora_adapter_load_failures_total');
    const before = await failures();
    await s3.goAway();
    try {
      await expect(ask(1, 'acme/late')).rejects.toMatchObject({ status: 503, code: 'adapter_not_loaded' });
      expect(await failures()).toBe(before + 1);
      // What it has is served as before.
      expect((await ask(1, 'pirate')).choices).toHaveLength(1);
    } finally {
      await s3.comeBack();
    }
    expect((await ask(1, 'acme/late')).choices).toHaveLength(1);
    expect(await failures()).toBe(before + 1);
  }, 120_000);
});
