import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openDatabase } from '@polylora/adapters-store';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { answerCompletion, startUpstream } from '../../../test/support/upstream.ts';
import { UNLIMITED } from '../admission/admission.ts';
import { StartingBackend } from '../backends/starting.ts';
import { ApiError } from '../errors.ts';
import { InFlight } from '../in-flight.ts';
import { createLogger } from '../logging.ts';
import { Metrics } from '../metrics/metrics.ts';
import { SteadyClock } from '../steady-clock.ts';
import { openTenants } from '../tenants/tenants-host.ts';
import { type BatchRecord, isFinished } from './batch-record.ts';
import { BatchService, type BatchServiceOptions } from './batch-service.ts';
import { contentOf, type FileRecord } from './file-store.ts';

/** Longer than the attempts at a line that fails take. */
const HELD_MILLISECONDS = 5_500;

let directory: string;
let open: BatchService[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'polylora-service-'));
});
afterEach(async () => {
  await Promise.all(open.map((service) => service.stop()));
  open = [];
  await rm(directory, { recursive: true, force: true });
});

/** Batches of a server whose engine never gets ready: what can be seen without an answer. */
async function start(options: Partial<BatchServiceOptions> = {}): Promise<BatchService> {
  const backend = new StartingBackend();
  const service = await BatchService.open({
    directory,
    backend: () => backend,
    inFlight: new InFlight({ running: 4, queued: 0 }),
    access: async (tenant, key) => ({ principal: { tenant, key }, role: 'user', tenant: null, key: null }),
    reserve: () => UNLIMITED,
    metrics: new Metrics(),
    clock: new SteadyClock(),
    logger: createLogger('silent'),
    concurrency: 4,
    completionWindowSeconds: 1000,
    maxLines: 3,
    maxLineBytes: 10_000,
    maxLinesInMemory: 1000,
    ...options,
  });
  open.push(service);
  return service;
}

function requestLine(customId: string): string {
  const body = { model: 'base', prompt: 'x' };
  return `${JSON.stringify({ custom_id: customId, method: 'POST', url: '/v1/completions', body })}\n`;
}

async function addFile({ files }: BatchService, content: string): Promise<FileRecord> {
  const { id, directory: draft } = await files.draft();
  await writeFile(contentOf(draft), content);
  const about = { tenant: 't', bytes: content.length, createdAt: 1, filename: 'in.jsonl' };
  const file: FileRecord = { id, ...about, purpose: 'batch' };
  await files.publish(draft, file);
  return file;
}

async function create(
  service: BatchService,
  content: string,
  key: string | null = null,
): Promise<BatchRecord> {
  const input = await addFile(service, content);
  return service.create({
    tenant: 't',
    key,
    endpoint: '/v1/completions',
    input,
    metadata: { run: '1' },
  });
}

async function until(service: BatchService, id: string, holds: (batch: BatchRecord) => boolean) {
  for (let tries = 0; tries < 500; tries++) {
    const batch = service.find('t', id);
    if (batch !== undefined && holds(batch)) return batch;
    await sleep(10);
  }
  throw new Error(`the batch is ${service.find('t', id)?.status}`);
}

function result(customId: string): string {
  const body = { usage: { prompt_tokens: 3, completion_tokens: 4 } };
  const response = { status_code: 200, request_id: 'r', body };
  return `${JSON.stringify({ id: 'i', custom_id: customId, response, error: null })}\n`;
}

const THREE = ['a', 'b', 'c'].map(requestLine).join('');

describe('BatchService', () => {
  it('lets a batch expire that was not done in time, with an error for each line', async () => {
    const service = await start({ completionWindowSeconds: 1 });
    const { id } = await create(service, THREE);
    await until(service, id, ({ status }) => status === 'in_progress');
    const batch = await until(service, id, isFinished);
    expect(service.body(batch)).toMatchObject({
      status: 'expired',
      output_file_id: null,
      error_file_id: batch.errorFileId,
      request_counts: { total: 3, completed: 0, failed: 3 },
      metadata: { run: '1' },
    });
    const file = service.files.find('t', batch.errorFileId);
    if (file === undefined) throw new Error('there is no error file');
    expect(file).toMatchObject({ purpose: 'batch_output', filename: `${id}_error.jsonl` });
    const lines = (await readFile(service.files.path(file), 'utf8')).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual(
      ['a', 'b', 'c'].map((custom_id) => ({
        id: expect.stringMatching(/^batch_req_/),
        custom_id,
        response: null,
        error: { code: 'batch_expired', message: expect.any(String) },
      })),
    );
  });

  it('counts lines, and refuses more than a batch may have', async () => {
    const service = await start();
    const { id } = await create(service, THREE + requestLine('d'));
    const { problems } = await until(service, id, isFinished);
    expect(problems).toMatchObject([{ code: 'too_many_tasks', line: 4 }]);
    const fits = await create(service, `${THREE}\n \r\n`);
    expect((await until(service, fits.id, ({ total }) => total > 0)).total).toBe(3);
  });

  it('takes up what has a result already, and seals the rest when it is cancelled', async () => {
    const first = await start();
    const { id } = await create(first, THREE);
    await until(first, id, ({ status }) => status === 'in_progress');
    await first.stop();
    const output = join(directory, 'batches', id, 'output');
    await mkdir(output, { recursive: true });
    await writeFile(contentOf(output), `${result('b')}${result('c').slice(0, 30)}`);

    const second = await start();
    const counted = () => second.body(second.find('t', id) as BatchRecord);
    for (let tries = 0; tries < 300 && !JSON.stringify(counted()).includes('"completed":1'); tries++)
      await sleep(10);
    expect(counted()).toMatchObject({
      status: 'in_progress',
      request_counts: { total: 3, completed: 1, failed: 0 },
      usage: { input_tokens: 3, output_tokens: 4, total_tokens: 7 },
    });
    const batch = second.find('t', id) as BatchRecord;
    expect((await second.cancel(batch)).times.cancelling).toBeDefined();
    const done = await until(second, id, isFinished);
    expect(second.body(done)).toMatchObject({
      status: 'cancelled',
      output_file_id: batch.outputFileId,
      error_file_id: batch.errorFileId,
      request_counts: { total: 3, completed: 1, failed: 2 },
    });
  });

  it('ends the same wherever a crash met its end', async () => {
    const service = await start({ completionWindowSeconds: 1 });
    const { id } = await create(service, THREE);
    const batch = await until(service, id, isFinished);
    await service.stop();
    const about = join(directory, 'batches', id, 'batch.json');
    const errorFile = join(directory, 'files', batch.errorFileId);
    const before = await readFile(contentOf(errorFile), 'utf8');
    const results = join(directory, 'batches', id, 'errors');
    const crashes: [status: string, sealed: unknown, isMoved: boolean][] = [
      ['finalizing', batch.sealed, true],
      ['finalizing', batch.sealed, false],
      ['finalizing', null, false],
      ['in_progress', null, false],
    ];
    for (const [status, sealed, isMoved] of crashes) {
      await writeFile(about, JSON.stringify({ ...batch, status, sealed }));
      if (!isMoved) {
        await cp(errorFile, results, { recursive: true });
        await rm(errorFile, { recursive: true });
      }
      const again = await start();
      expect(again.body(await until(again, id, isFinished))).toMatchObject({
        status: 'expired',
        error_file_id: batch.errorFileId,
        request_counts: { total: 3, completed: 0, failed: 3 },
      });
      await again.stop();
      expect(await readFile(contentOf(errorFile), 'utf8')).toBe(before);
      expect(await readdir(join(directory, 'batches', id))).toEqual(['batch.json']);
    }
  });

  it('reads no more batches than there is memory for, in any state of theirs', async () => {
    const service = await start({ maxLinesInMemory: 3 });
    const first = await create(service, THREE);
    await until(service, first.id, ({ status }) => status === 'in_progress');
    const second = await create(service, THREE);
    const third = await create(service, THREE);
    await sleep(100);
    expect(service.find('t', second.id)?.status).toBe('validating');
    await service.cancel(third);
    expect(service.body(await until(service, third.id, isFinished))).toMatchObject({
      status: 'cancelled',
      error_file_id: null,
      request_counts: { total: 0, completed: 0, failed: 0 },
    });
    await service.cancel(service.find('t', first.id) as BatchRecord);
    await until(service, first.id, isFinished);
    await until(service, second.id, ({ status }) => status === 'in_progress');
  });

  it('lets no batch expire early when the clock jumps', async () => {
    let jumped = 0;
    const clock = new SteadyClock(() => Date.now() + jumped);
    const service = await start({ clock, maxLinesInMemory: 3 });
    const first = await create(service, THREE);
    await until(service, first.id, ({ status }) => status === 'in_progress');
    const second = await create(service, THREE);
    jumped = 3_600_000;
    await service.cancel(first);
    await until(service, first.id, isFinished);
    await until(service, second.id, ({ status }) => status === 'in_progress');
    const third = await create(service, THREE);
    expect(third.expiresAt).toBeLessThan(second.expiresAt + 60);
    await sleep(100);
    expect(service.find('t', second.id)?.status).toBe('in_progress');
  });

  it('forgets drafts of a process that died', async () => {
    const service = await start();
    const { directory: draft } = await service.files.draft();
    await writeFile(contentOf(draft), 'half a');
    await service.stop();
    const again = await start();
    expect(again.files.list('t')).toEqual([]);
    expect(await readdir(join(directory, 'drafts'))).toEqual([]);
  });
});

describe('a line that a budget has room for but for what is held', () => {
  it('waits for that, longer than a failure would be tried again', async () => {
    const upstream = await startUpstream(100, answerCompletion);
    const database = await openDatabase(join(directory, 'polylora.db'));
    const tenants = await openTenants({
      ...{ database, secret: Buffer.alloc(32, 3), logger: createLogger('silent') },
    });
    try {
      const limits = { budgets: { total: { tokens: 200 } } };
      const about = { name: null, blocked: false, models: ['*'], weight: 1, allowPriority: false };
      await tenants.tenants.create('t', { ...about, metadata: {}, limits }, 'o');
      const role = { role: 'user', alias: null, blocked: false, models: ['*'] } as const;
      const own = { ...role, limits: {}, metadata: {}, expiresAt: null };
      const { text } = await tenants.keys.create('t', own, 'o');
      const access = await tenants.registry.find(text, tenants.hasher.hash(text));
      const { backend } = upstream;
      const service = await start({
        backend: () => backend,
        access: async () => access!,
        reserve: (from, asked) => tenants.admission.reserve(from, asked, false),
      });
      const held = await tenants.admission.reserve(access!, {
        ...{ model: backend.base!, promptTokens: 190, completionTokens: 0, counting: null },
      });
      const batch = await create(service, requestLine('a'));
      await sleep(HELD_MILLISECONDS);
      expect(upstream.asked).toHaveLength(0);
      held.settle(null);
      const answered = await until(service, batch.id, isFinished);
      expect(service.body(answered)).toMatchObject({ request_counts: { completed: 1, failed: 0 } });
    } finally {
      await tenants.close();
      await database.destroy();
      await upstream.stop();
    }
  }, 20_000);

  it('gives the place of a line back that its budget has no room for, and takes it up when there is', async () => {
    const upstream = await startUpstream(100, (response) => answerCompletion(response));
    let hasRoom = false;
    let attempts = 0;
    try {
      const service = await start({
        backend: () => upstream.backend,
        // One place: whoever keeps it keeps everybody.
        concurrency: 1,
        maxLines: 40,
        reserve: ({ principal }) => {
          if (principal.key !== 'poor') return UNLIMITED;
          attempts += 1;
          if (!hasRoom) throw new ApiError('budget_held', 'What is left is held.');
          return UNLIMITED;
        },
      });
      const lines = Array.from({ length: 40 }, (_, index) => requestLine(String(index))).join('');
      const poor = await create(service, lines, 'poor');
      await expect.poll(() => attempts, { timeout: 5_000 }).toBeGreaterThan(0);
      const rich = await create(service, lines, 'rich');
      // A second for each line of the other between two of these would be most of a minute.
      await until(service, rich.id, isFinished);
      expect(upstream.asked).toHaveLength(40);
      // One line is tried when a line of its tenant ends, and once a second: not each of the forty each time.
      expect(attempts).toBeLessThan(60);
      hasRoom = true;
      const answered = await until(service, poor.id, isFinished);
      expect(service.body(answered)).toMatchObject({ request_counts: { completed: 40, failed: 0 } });
    } finally {
      await upstream.stop();
    }
  }, 20_000);
});
