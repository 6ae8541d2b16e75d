import { setMaxListeners } from 'node:events';
import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseJsonObject } from '../http/json-body.ts';
import type { Logger } from '../logging.ts';
import { type JsonObject, objectValue } from '../openai/fields.ts';
import { newId } from '../openai/ids.ts';
import type { InputLine } from './batch-input.ts';
import type { BatchEndpoint, BatchRecord, Progress } from './batch-record.ts';
import { NO_PROGRESS } from './batch-record.ts';
import type { LineErrorCode } from './problems.ts';
import { type LineResult, ResultLog } from './result-log.ts';

/** How long a result waits to be written again where the disk refused it. */
const RETRY_WRITE_MILLISECONDS = 5_000;

/** Few enough that the event loop never stands still for long. */
const WRITTEN_TOGETHER = 500;

export interface BatchWorkOptions {
  readonly batch: BatchRecord;
  readonly input: string;
  readonly lines: readonly InputLine[];
  readonly outputDirectory: string;
  readonly errorDirectory: string;
  readonly logger: Logger;
}

/** What a result says beside whose it is. */
export type LineOutcome = Pick<LineResult, 'response' | 'error'>;

/** A batch while its lines are answered: which have no result yet, and where results go. */
export class BatchWork {
  readonly tenant: string;
  readonly key: string | null;
  readonly endpoint: BatchEndpoint;
  readonly #id: string;
  readonly #input: FileHandle;
  readonly #output: ResultLog;
  readonly #errors: ResultLog;
  readonly #unanswered: Map<string, InputLine>;
  readonly #logger: Logger;
  readonly #stop = new AbortController();
  #progress: Progress;
  #hasExpired = false;
  #running = 0;
  #onSettled = () => {};

  /** Resolves when no line runs and none will: all are answered, or the work was stopped. */
  readonly settled = new Promise<void>((resolve) => {
    this.#onSettled = resolve;
  });

  private constructor(
    options: BatchWorkOptions,
    input: FileHandle,
    logs: { output: ResultLog; errors: ResultLog },
    unanswered: Map<string, InputLine>,
    progress: Progress,
  ) {
    this.#id = options.batch.id;
    this.tenant = options.batch.tenant;
    this.key = options.batch.key;
    this.endpoint = options.batch.endpoint;
    this.#logger = options.logger;
    this.#input = input;
    this.#output = logs.output;
    this.#errors = logs.errors;
    this.#unanswered = unanswered;
    this.#progress = progress;
    // Every running line listens; Node would warn of a leak beyond ten.
    setMaxListeners(0, this.#stop.signal);
    this.#settle();
  }

  /** Takes up a batch where it was left: lines with a result are not run again. */
  static async open(options: BatchWorkOptions): Promise<BatchWork> {
    const unanswered = new Map(options.lines.map((line) => [line.customId, line]));
    let progress = NO_PROGRESS;
    let hasExpired = false;
    const onResult = (result: LineResult) => {
      unanswered.delete(result.custom_id);
      progress = advanced(progress, result);
      hasExpired ||= result.error?.code === ('batch_expired' satisfies LineErrorCode);
    };
    const output = await ResultLog.open(options.outputDirectory, onResult);
    const errors = await ResultLog.open(options.errorDirectory, onResult);
    const input = await open(options.input, 'r');
    const work = new BatchWork(options, input, { output, errors }, unanswered, progress);
    work.#hasExpired = hasExpired;
    return work;
  }

  get unanswered(): readonly InputLine[] {
    return [...this.#unanswered.values()];
  }

  get progress(): Progress {
    return this.#progress;
  }

  /** Whether an earlier process began to give up lines for want of time. */
  get hasExpired(): boolean {
    return this.#hasExpired;
  }

  /** Aborted when running lines are to be given up. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  stop(): void {
    this.#stop.abort();
    this.#settle();
  }

  /** Runs a line; what it throws is not its result but a fault, after which it has none. */
  async run(work: () => Promise<void>): Promise<void> {
    this.#running += 1;
    try {
      await work();
    } finally {
      this.#running -= 1;
      this.#settle();
    }
  }

  async readBody({ offset, length }: InputLine): Promise<JsonObject> {
    const bytes = Buffer.alloc(length);
    await this.#input.read(bytes, 0, length, offset);
    return objectValue(parseJsonObject(bytes).body, 'body');
  }

  /** Resolves when the result is on the disk; where the disk refuses it, it is tried again until the work is stopped. */
  async answer(line: InputLine, outcome: LineOutcome): Promise<void> {
    const result: LineResult = { id: newId('batch_req_'), custom_id: line.customId, ...outcome };
    while (!this.signal.aborted) {
      try {
        await this.#write(line, result);
        return;
      } catch (error) {
        this.#logger.error({ batch: this.#id, err: error }, 'a batch result cannot be written');
        await sleep(RETRY_WRITE_MILLISECONDS, undefined, { signal: this.signal }).catch(() => {});
      }
    }
  }

  /** Gives every line that has no result the same one, after the work was stopped. */
  async answerRest(outcome: LineOutcome): Promise<void> {
    const rest = this.unanswered;
    for (let begin = 0; begin < rest.length; begin += WRITTEN_TOGETHER) {
      const lines = rest.slice(begin, begin + WRITTEN_TOGETHER);
      await Promise.all(
        lines.map((line) =>
          this.#write(line, { id: newId('batch_req_'), custom_id: line.customId, ...outcome }),
        ),
      );
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#output.close(), this.#errors.close(), this.#input.close()]);
  }

  async #write(line: InputLine, result: LineResult): Promise<void> {
    await (isGood(result) ? this.#output : this.#errors).append(result);
    this.#unanswered.delete(line.customId);
    this.#progress = advanced(this.#progress, result);
  }

  #settle(): void {
    if (this.#running === 0 && (this.signal.aborted || this.#unanswered.size === 0)) this.#onSettled();
  }
}

function isGood({ response }: LineResult): boolean {
  return response?.status_code === 200;
}

function advanced(progress: Progress, result: LineResult): Progress {
  if (!isGood(result)) return { ...progress, failed: progress.failed + 1 };
  const usage = result.response?.body.usage;
  return {
    completed: progress.completed + 1,
    failed: progress.failed,
    promptTokens: progress.promptTokens + (usage?.prompt_tokens ?? 0),
    cachedPromptTokens: progress.cachedPromptTokens + (usage?.prompt_tokens_details?.cached_tokens ?? 0),
    completionTokens: progress.completionTokens + (usage?.completion_tokens ?? 0),
  };
}
