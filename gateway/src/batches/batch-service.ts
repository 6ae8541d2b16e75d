import { rm, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError } from '../errors.ts';
import { newId } from '../openai/ids.ts';
import type { SteadyClock } from '../steady-clock.ts';
import { type BatchInput, type InputLimits, readBatchInput } from './batch-input.ts';
import {
  type BatchEndpoint,
  type BatchRecord,
  batchBody,
  isFinished,
  NO_PROGRESS,
  withStatus,
} from './batch-record.ts';
import { BatchStore } from './batch-store.ts';
import { BatchWork } from './batch-work.ts';
import { contentOf, type FileRecord, FileStore } from './file-store.ts';
import { LineRoom } from './line-room.ts';
import { LineRunner, type LineRunnerOptions } from './line-runner.ts';
import { LINE_ERRORS } from './problems.ts';

/** How long a batch waits that met a fault which is not its own, such as a full disk. */
const RETRY_MILLISECONDS = 10_000;

export interface BatchServiceOptions extends InputLimits, LineRunnerOptions {
  /** Where files, batches and results are kept. One service at a time may use it. */
  readonly directory: string;
  readonly completionWindowSeconds: number;
  readonly clock: SteadyClock;
  /** Of all batches together; further batches wait before they are read. */
  readonly maxLinesInMemory: number;
}

/** What a client asks for. */
export interface NewBatch {
  readonly tenant: string;
  readonly key: string | null;
  readonly endpoint: BatchEndpoint;
  readonly input: FileRecord;
  readonly metadata: Readonly<Record<string, string>> | null;
}

/**
 * Takes batches through their life. Whatever is done is done in an order in which a crash at any point leaves
 * what the next start can go on from: results before counts, all results before the batch is sealed, files before
 * the status that tells of them.
 */
export class BatchService {
  readonly files: FileStore;
  readonly #batches: BatchStore;
  readonly #options: BatchServiceOptions;
  readonly #runner: LineRunner;
  readonly #room: LineRoom;
  readonly #works = new Map<string, BatchWork>();
  readonly #lives = new Set<Promise<void>>();
  readonly #stop = new AbortController();

  private constructor(options: BatchServiceOptions, files: FileStore, batches: BatchStore) {
    this.#options = options;
    this.files = files;
    this.#batches = batches;
    this.#runner = new LineRunner(options);
    this.#room = new LineRoom(options.maxLinesInMemory);
  }

  /** Takes up the batches that an earlier process left unfinished. */
  static async open(options: BatchServiceOptions): Promise<BatchService> {
    const files = await FileStore.open(options.directory);
    const batches = await BatchStore.open(options.directory);
    const service = new BatchService(options, files, batches);
    for (const batch of batches.all()) if (!isFinished(batch)) service.#begin(batch.id);
    return service;
  }

  async create({ tenant, key, endpoint, input, metadata }: NewBatch): Promise<BatchRecord> {
    const now = Math.floor(this.#options.clock.now() / 1000);
    const batch: BatchRecord = {
      id: newId('batch_'),
      tenant,
      key,
      endpoint,
      inputFileId: input.id,
      outputFileId: newId('file-'),
      errorFileId: newId('file-'),
      metadata,
      status: 'validating',
      times: { validating: now },
      expiresAt: now + this.#options.completionWindowSeconds,
      problems: null,
      total: 0,
      sealed: null,
    };
    await this.#batches.create(batch);
    this.#begin(batch.id);
    return batch;
  }

  list(tenant: string): readonly BatchRecord[] {
    return this.#batches.list(tenant);
  }

  find(tenant: string, id: string): BatchRecord | undefined {
    return this.#batches.find(tenant, id);
  }

  /** The batch as clients see it, with its counts as of now. */
  body(batch: BatchRecord): object {
    return batchBody(batch, this.#works.get(batch.id)?.progress ?? NO_PROGRESS);
  }

  /** Whether a batch still has to read the file. */
  isInUse({ id }: FileRecord): boolean {
    return this.#batches.all().some((batch) => batch.inputFileId === id && !isFinished(batch));
  }

  /** @throws ApiError batch_not_cancellable */
  async cancel(batch: BatchRecord): Promise<BatchRecord> {
    if (batch.status === 'cancelling') return batch;
    if (batch.status !== 'validating' && batch.status !== 'in_progress') {
      const message = `Cannot cancel a batch with status '${batch.status}'.`;
      throw new ApiError('batch_not_cancellable', message);
    }
    const saved = this.#batches.save(withStatus(batch, 'cancelling'));
    this.#works.get(batch.id)?.stop();
    this.#room.wake();
    await saved;
    return this.#batches.get(batch.id);
  }

  /** Gives up the lines that run, to be done again after the next start, and resolves when nothing writes any more. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#runner.stop();
    this.#room.wake();
    for (const work of this.#works.values()) work.stop();
    await Promise.all(this.#lives);
  }

  get #stopped(): boolean {
    return this.#stop.signal.aborted;
  }

  #begin(id: string): void {
    const life = this.#live(id).finally(() => this.#lives.delete(life));
    this.#lives.add(life);
  }

  async #live(id: string): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#advance(id);
        return;
      } catch (error) {
        this.#options.logger.error({ batch: id, err: error }, 'a batch cannot go on, and is tried again');
        await sleep(RETRY_MILLISECONDS, undefined, { signal: this.#stop.signal }).catch(() => {});
      }
    }
  }

  /** Does whatever is left to do. */
  async #advance(id: string): Promise<void> {
    if (this.#batches.get(id).sealed === null) await this.#answerAll(id);
    if (!this.#stopped && !isFinished(this.#batches.get(id))) await this.#publish(id);
  }

  async #answerAll(id: string): Promise<void> {
    const isCancelledUnread = () => {
      const { status, total } = this.#batches.get(id);
      return status === 'cancelling' && total === 0;
    };
    const input = await this.#room.enter(
      () => this.#readInput(id),
      () => this.#stopped || isCancelledUnread(),
    );
    if (input === null) {
      if (!this.#stopped) await this.#sealEmpty(id);
      return;
    }
    try {
      if (!this.#stopped && !isFinished(this.#batches.get(id))) await this.#answerLines(id, input);
    } finally {
      this.#room.leave(input);
    }
  }

  /** Of a batch that was cancelled before its lines were read, no line is told of. */
  async #sealEmpty(id: string): Promise<void> {
    const batch = this.#batches.get(id);
    await this.#batches.save({ ...batch, sealed: { outcome: 'cancelled', progress: NO_PROGRESS } });
  }

  async #readInput(id: string): Promise<BatchInput> {
    const { endpoint } = this.#batches.get(id);
    const input = await readBatchInput(this.#inputPath(id), endpoint, this.#options);
    const batch = this.#batches.get(id);
    if (batch.total > 0) return input;
    const { lines, problems } = input;
    const counted = { ...batch, total: lines.length };
    if (problems.length > 0) {
      await this.#batches.save(withStatus({ ...batch, problems: [...problems] }, 'failed'));
    } else {
      // It may have been cancelled meanwhile.
      const isNew = batch.status === 'validating';
      await this.#batches.save(isNew ? withStatus(counted, 'in_progress') : counted);
    }
    return input;
  }

  #inputPath(id: string): string {
    const { tenant, inputFileId } = this.#batches.get(id);
    const file = this.files.find(tenant, inputFileId);
    if (file === undefined) throw new Error(`the input file ${inputFileId} is gone`);
    return this.files.path(file);
  }

  async #answerLines(id: string, { lines }: BatchInput): Promise<void> {
    const work = await BatchWork.open({
      batch: this.#batches.get(id),
      input: this.#inputPath(id),
      lines,
      outputDirectory: this.#batches.resultDirectory(id, 'output'),
      errorDirectory: this.#batches.resultDirectory(id, 'errors'),
      logger: this.#options.logger,
    });
    this.#works.set(id, work);
    const { expiresAt, status } = this.#batches.get(id);
    const milliseconds = expiresAt * 1000 - this.#options.clock.now();
    const expiry = setTimeout(() => work.stop(), milliseconds);
    try {
      if (this.#stopped || status === 'cancelling' || milliseconds <= 0) work.stop();
      else await this.#runner.add(work);
      await work.settled;
      if (!this.#stopped) await this.#seal(id, work);
    } finally {
      clearTimeout(expiry);
      this.#runner.drop(work);
      this.#works.delete(id);
      await work.close();
    }
  }

  /** Gives lines that were not run their error, and makes the results final. */
  async #seal(id: string, work: BatchWork): Promise<void> {
    const settled = this.#batches.get(id);
    const isExpired = work.hasExpired || work.unanswered.length > 0;
    const isCancelled = settled.status === 'cancelling';
    if (!isCancelled) await this.#batches.save(withStatus(settled, 'finalizing'));
    const code = isCancelled ? 'batch_cancelled' : 'batch_expired';
    await work.answerRest({ response: null, error: { code, message: LINE_ERRORS[code] } });
    const outcome = isCancelled ? 'cancelled' : isExpired ? 'expired' : 'completed';
    const batch = this.#batches.get(id);
    await this.#batches.save({ ...batch, sealed: { outcome, progress: work.progress } });
  }

  async #publish(id: string): Promise<void> {
    const batch = this.#batches.get(id);
    const { sealed } = batch;
    if (sealed === null) return;
    const { completed, failed } = sealed.progress;
    await this.#publishResults(batch, 'output', completed);
    await this.#publishResults(batch, 'errors', failed);
    await this.#batches.save(withStatus(batch, sealed.outcome));
  }

  /** Makes the results a file of the tenant's where there are any. Once done, doing so again does nothing. */
  async #publishResults(batch: BatchRecord, kind: 'output' | 'errors', count: number): Promise<void> {
    const directory = this.#batches.resultDirectory(batch.id, kind);
    const fileId = kind === 'output' ? batch.outputFileId : batch.errorFileId;
    const { tenant } = batch;
    if (count === 0) {
      await rm(directory, { recursive: true, force: true });
    } else if (this.files.find(tenant, fileId) === undefined) {
      await this.files.publish(directory, {
        id: fileId,
        tenant,
        bytes: (await stat(contentOf(directory))).size,
        createdAt: Math.floor(Date.now() / 1000),
        filename: `${batch.id}_${kind === 'output' ? 'output' : 'error'}.jsonl`,
        purpose: 'batch_output',
      });
    }
  }
}
