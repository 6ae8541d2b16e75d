/** What a request that the cache may answer counts as, against real limits. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Database, openDatabase } from '@polylora/adapters-store';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Access } from '../access/access.ts';
import type { BackendModel } from '../backends/backend.ts';
import type { GenerationOptions } from '../generation.ts';
import { createLogger } from '../logging.ts';
import type { LimitsBody } from '../tenants/limits.ts';
import { openTenants, type TenantsHost } from '../tenants/tenants-host.ts';
import { RequestHold } from './request-hold.ts';

const MODEL = {
  ...{ id: 'base', parent: null, root: 'root', created: 0, maxModelLen: 1_000, vocabSize: 10 },
  ...{ mixture: null, fingerprint: 'fp', task: 'generate' },
} as const satisfies BackendModel;
const NOBODYS = { blocked: false, models: ['*'], metadata: {} };
const ANSWER = { model: MODEL, promptTokens: 10, completionTokens: 10, counting: null };
const USED = { promptTokens: 10, cachedPromptTokens: 0, completionTokens: 10 };

let folder: string;
let database: Database;
let host: TenantsHost;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'polylora-hold-'));
  database = await openDatabase(join(folder, 'metadata.db'));
  host = await openTenants({ database, secret: Buffer.alloc(32, 3), logger: createLogger('silent') });
});
afterEach(async () => {
  await host.close();
  await database.destroy();
  await rm(folder, { recursive: true });
});

/** Asks with a key that has these limits. */
async function asker(limits: LimitsBody): Promise<() => Promise<RequestHold>> {
  await host.tenants.create(
    'acme',
    { ...NOBODYS, name: null, weight: 1, allowPriority: false, limits: {} },
    'o',
  );
  const key = { ...NOBODYS, role: 'user', alias: null, expiresAt: null, limits } as const;
  const { text } = await host.keys.create('acme', key, 'o');
  const access: Access | null = await host.registry.find(text, host.hasher.hash(text));
  if (access === null) throw new Error('the key is not found');
  const reserve: GenerationOptions['reserve'] = (asked) => host.admission.reserve(access, asked);
  return () => RequestHold.of({ reserve, model: MODEL } as GenerationOptions);
}

it('who may ask no more is told so before anything is looked up', async () => {
  const ask = await asker({ requests_per_minute: 2 });
  (await ask()).count();
  (await ask()).count();
  await expect(ask()).rejects.toMatchObject({ code: 'rate_limit_exceeded' });
});

it('an answer that is made counts once, and what came to nothing not at all', async () => {
  const ask = await asker({ requests_per_minute: 2, concurrent_requests: 1 });
  (await ask()).drop();
  for (let i = 0; i < 2; i++) {
    const hold = await ask();
    const reservation = await hold.generation.reserve(ANSWER);
    hold.count();
    reservation.settle(USED);
  }
  await expect(ask()).rejects.toMatchObject({ code: 'rate_limit_exceeded' });
});

it('a request that was looked up counts, also where its answer may not be made', async () => {
  const ask = await asker({ requests_per_minute: 2, tokens_per_minute: 20 });
  const made = await (await ask()).generation.reserve(ANSWER);
  made.settle(USED);
  await expect((await ask()).generation.reserve(ANSWER)).rejects.toThrow(/tokens per minute/);
  await expect(ask()).rejects.toThrow(/requests per minute/);
});
