import { randomUUID } from 'node:crypto';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { SchedulingParams } from '@polylora/engine';
import type { Access } from '../access/access.ts';
import type { Reservation } from '../admission/admission.ts';
import type { Asked } from '../admission/asked.ts';
import type { Backend } from '../backends/backend.ts';
import { embeddingAnswer } from '../embedding.ts';
import { ApiError, type ErrorCode, toApiError } from '../errors.ts';
import { generateWhole } from '../generation.ts';
import { clientOfSignal } from '../http/client.ts';
import type { InFlight } from '../in-flight.ts';
import { chatJob } from '../jobs/chat.ts';
import { completionJob } from '../jobs/completion.ts';
import { requestedModel } from '../jobs/model.ts';
import type { LiveMeter } from '../live/live-meter.ts';
import type { Logger } from '../logging.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { readEmbeddingRequest } from '../openai/embedding-request.ts';
import { type JsonObject, unsupported } from '../openai/fields.ts';
import { readScheduling } from '../openai/scheduling.ts';
import type { InputLine } from './batch-input.ts';
import type { BatchEndpoint } from './batch-record.ts';
import type { BatchWork, LineOutcome } from './batch-work.ts';
import type { LineOrder } from './line-order.ts';
import { LineQueue } from './line-queue.ts';

const READERS = {
  '/v1/chat/completions': chatJob,
  '/v1/completions': completionJob,
} as const satisfies Partial<Record<BatchEndpoint, unknown>>;

/** Failures that say nothing of the line: it is run again. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  'engine_unavailable',
  'engine_overloaded',
  'adapter_not_loaded',
  'storage_unavailable',
  'shutting_down',
]);

/** A line that was not begun, because of what others hold, gives its place back and waits for them however long that takes. */
const HELD: ErrorCode = 'budget_held';

/** A line that the engine dies of would be run for ever. */
const MOST_ATTEMPTS = 5;

/** Failures after which a line is run alone. */
const SUSPECT_ATTEMPTS = 2;

const RETRY_MILLISECONDS = 1_000;

/** Few enough that the event loop never stands still for long. */
const ADDED_TOGETHER = 2_000;

export interface LineRunnerOptions {
  readonly backend: () => Backend;
  /** Room of the batches' own, so that they take none of what interactive clients have. */
  readonly inFlight: InFlight;
  /** Who a batch is from, as of now. @throws ApiError where its key does not hold any more */
  readonly access: (tenant: string, key: string | null) => Promise<Access>;
  /** Holds what a line may use. @throws ApiError */
  readonly reserve: (access: Access, asked: Asked) => Reservation | Promise<Reservation>;
  readonly metrics: Metrics;
  /** Absent where nobody looks. */
  readonly live?: LiveMeter;
  readonly logger: Logger;
  /** Sequences in flight at once. A line with more runs alone. */
  readonly concurrency: number;
}

interface QueuedLine extends LineOrder {
  readonly tenant: string;
  readonly payer: string | null;
  readonly work: BatchWork;
  readonly line: InputLine;
  attempts: number;
}

interface PreparedLine {
  /** That run at once. */
  readonly sequences: number;
  /** The body of its answer. @param onHold told when what it may use is held */
  readonly run: (onHold: () => void) => Promise<object>;
}

/** Runs the lines of all batches in their order, a few at a time, as the routes would and behind interactive requests. */
export class LineRunner {
  readonly #options: LineRunnerOptions;
  readonly #queue = new LineQueue<QueuedLine>();
  readonly #stop = new AbortController();
  #adding = 0;
  #sequences = 0;
  #wake = () => {};

  constructor(options: LineRunnerOptions) {
    this.#options = options;
    this.#run().catch((error: unknown) => options.logger.fatal({ err: error }, 'batches stopped'));
  }

  /** Resolves when all lines wait for their turn; none is taken before, because any may be the first. */
  async add(work: BatchWork): Promise<void> {
    const { tenant, key } = work;
    const lines = work.unanswered;
    this.#adding += 1;
    try {
      for (let begin = 0; begin < lines.length && !work.signal.aborted; begin += ADDED_TOGETHER) {
        for (const line of lines.slice(begin, begin + ADDED_TOGETHER)) {
          this.#queue.add({ key: line.key, tenant, payer: key, work, line, attempts: 0 });
        }
        await nextTurn();
      }
    } finally {
      this.#adding -= 1;
      this.#wake();
    }
  }

  /** Forgets the lines that wait; those that run are the work's own affair. */
  drop(work: BatchWork): void {
    this.#queue.remove(work.tenant, (line) => line.work === work);
    this.#wake();
  }

  stop(): void {
    this.#stop.abort();
    this.#wake();
  }

  async #run(): Promise<void> {
    const { concurrency, backend, metrics } = this.#options;
    while (!this.#stop.signal.aborted) {
      if (!backend().ready) {
        await this.#pause();
        continue;
      }
      const hasRoom = this.#adding === 0 && this.#sequences < concurrency;
      const line = hasRoom ? this.#queue.take() : undefined;
      metrics.setBatchLinesWaiting(this.#queue.size);
      if (line === undefined) await this.#change();
      else await this.#start(line);
    }
  }

  /** Resolves when the line runs, so that the next is not before it. */
  async #start(queued: QueuedLine): Promise<void> {
    const { work, line } = queued;
    let prepared: PreparedLine | ApiError;
    try {
      prepared = await this.#prepare(work, await work.readBody(line));
    } catch (thrown) {
      prepared = toApiError(thrown);
    }
    const sequences = this.#roomFor(queued, prepared);
    while (this.#sequences > 0 && this.#sequences + sequences > this.#options.concurrency) {
      await this.#change();
    }
    this.#sequences += sequences;
    let isHeld = false;
    void work
      .run(async () => {
        if (work.signal.aborted) return;
        const outcome =
          prepared instanceof ApiError
            ? prepared
            : await this.#answer(prepared, () => this.#admitted(queued)).catch(toApiError);
        // What happens to a line that was given up is not its result.
        if (work.signal.aborted) return;
        const code = outcome instanceof ApiError ? outcome.code : null;
        if (code === HELD) {
          isHeld = true;
          this.#hold(queued);
          return;
        }
        queued.attempts += 1;
        if (code !== null && PASSING.has(code) && queued.attempts < MOST_ATTEMPTS) {
          await this.#pause();
          if (!work.signal.aborted) this.#queue.add(queued);
        } else {
          const isFailure = outcome instanceof ApiError;
          await work.answer(line, isFailure ? this.#failure(outcome) : outcome);
          this.#options.metrics.countBatchLine(isFailure ? 'failed' : 'completed');
        }
      })
      .finally(() => {
        this.#sequences -= sequences;
        this.#queue.release(queued);
        // What it held is free.
        if (!isHeld) this.#queue.retry(queued.tenant);
        this.#wake();
      });
  }

  /** A line that met several failures may be their cause, and is run alone: else it would take others with it. */
  #roomFor({ attempts }: QueuedLine, prepared: PreparedLine | ApiError): number {
    if (prepared instanceof ApiError) return 0;
    const { sequences } = prepared;
    return attempts < SUSPECT_ATTEMPTS ? sequences : Math.max(sequences, this.#options.concurrency);
  }

  /** @throws ApiError where the line's body is wrong */
  async #prepare({ endpoint, tenant, key, signal }: BatchWork, body: JsonObject): Promise<PreparedLine> {
    const { inFlight, metrics, live, reserve } = this.#options;
    const backend = this.#options.backend();
    const access = await this.#options.access(tenant, key);
    const model = await requestedModel(backend, body, access.principal);
    const options = { tenant, weight: access.tenant?.weight ?? 1, allowPriority: false };
    const common = {
      backend,
      model,
      inFlight,
      metrics,
      ...(live === undefined ? {} : { live }),
      client: clientOfSignal(signal),
    };
    const reserving = (onHold: () => void) => async (asked: Asked) => {
      const reservation = await reserve(access, asked);
      onHold();
      return reservation;
    };
    if (endpoint === '/v1/embeddings') {
      const request = readEmbeddingRequest(body, model.vocabSize);
      const scheduling = inBackground(readScheduling(body, options));
      return {
        sequences: 1,
        run: (onHold) => embeddingAnswer({ ...common, reserve: reserving(onHold), request, scheduling }),
      };
    }
    const job = READERS[endpoint](body, model, options);
    if (job.chunks !== null) throw unsupported('stream', 'cannot be true in a batch');
    const requests = job.requests.map((request) => ({
      ...request,
      scheduling: inBackground(request.scheduling),
    }));
    const { promptParam } = job;
    return {
      sequences: requests.length,
      run: async (onHold) =>
        await job.whole(
          await generateWhole({ ...common, reserve: reserving(onHold), requests, promptParam }),
        ),
    };
  }

  async #answer({ run }: PreparedLine, onHold: () => void): Promise<LineOutcome> {
    return response(200, await run(onHold));
  }

  #admitted(queued: QueuedLine): void {
    this.#queue.admitted(queued);
    this.#wake();
  }

  /** A line without room in a budget comes again when one of its tenant's has ended, or after a while: requests hold of it as well. */
  #hold(queued: QueuedLine): void {
    const { tenant, payer } = queued;
    this.#queue.hold(queued);
    const retry = () => {
      this.#queue.retry(tenant, payer);
      this.#wake();
    };
    setTimeout(retry, RETRY_MILLISECONDS).unref();
  }

  #failure(error: ApiError): LineOutcome {
    const outcome = response(error.status, error.body());
    if (error.status >= 500) {
      const requestId = outcome.response?.request_id;
      this.#options.logger.error(
        { requestId, code: error.code, err: error.cause ?? error },
        'a batch line failed',
      );
    }
    return outcome;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** A while in which the engine may come back. */
  async #pause(): Promise<void> {
    await sleep(RETRY_MILLISECONDS, undefined, { signal: this.#stop.signal }).catch(() => {});
  }
}

/** A batch's deadline is its completion window, whatever its lines ask for. */
function inBackground(scheduling: SchedulingParams): SchedulingParams {
  return { ...scheduling, priority: 'batch', timeoutSeconds: null };
}

function response(status: number, body: object): LineOutcome {
  const requestId = `req_${randomUUID().replaceAll('-', '')}`;
  return {
    response: { status_code: status, request_id: requestId, body: body as JsonObject },
    error: null,
  };
}
