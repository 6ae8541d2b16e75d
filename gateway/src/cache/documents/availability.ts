import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Logger } from '../../logging.ts';
import { StoreUnavailable } from './document-store.ts';

/** An answer that takes longer is not waited for. */
const ANSWER_MILLISECONDS = 1_000;
/** Nor is a change, for which no request waits: a busy disk may take its time. */
const CHANGE_MILLISECONDS = 3_000;
/** How often it is looked whether the store is back, or takes something again. */
const RETRY_MILLISECONDS = 1_000;
/** To connect, and to make the tables. */
const PROBE_MILLISECONDS = 10_000;

export interface AvailabilityOptions {
  /** For the log. */
  readonly name: string;
  /** Connects where need be, and asks for something. */
  readonly probe: () => Promise<void>;
  /** Of an error of a change: whether reading may go on, as the disk is full or somebody else is at it. */
  readonly isRefusal: (error: unknown) => boolean;
  readonly logger: Logger;
}

/** Why a call was not waited for. */
class TooLate extends Error {
  override readonly name = 'TooLate';
}

/**
 * Whether a store is there. While it is away, calls fail at once and it is asked again in the background, so that no request waits for that.
 * While it only refuses changes, one of them is tried every second. Each of these is logged when it begins and when it ends.
 */
export class Availability {
  readonly #options: AvailabilityOptions;
  #isAway = false;
  #isClosed = false;
  /** When the next change is tried; null while they are taken. */
  #retryAt: number | null = null;
  #timer: NodeJS.Timeout | undefined;
  #probing: Promise<void> = Promise.resolve();

  constructor(options: AvailabilityOptions) {
    this.#options = options;
  }

  /** @throws StoreUnavailable */
  async read<T>(work: () => Promise<T>): Promise<T> {
    this.#expectHere();
    try {
      return await within(work(), ANSWER_MILLISECONDS);
    } catch (error) {
      this.failed(error);
      throw this.#unavailable(error);
    }
  }

  /** @throws StoreUnavailable */
  async write<T>(work: () => Promise<T>): Promise<T> {
    this.#expectHere();
    if (this.#retryAt !== null) {
      const now = performance.now();
      if (now < this.#retryAt) throw this.#unavailable();
      this.#retryAt = now + RETRY_MILLISECONDS;
    }
    try {
      const result = await within(work(), CHANGE_MILLISECONDS);
      if (this.#retryAt !== null) {
        this.#retryAt = null;
        this.#options.logger.info(`${this.#options.name} takes changes again`);
      }
      return result;
    } catch (error) {
      if (error instanceof TooLate || this.#options.isRefusal(error)) this.#refused(error);
      else this.failed(error);
      throw this.#unavailable(error);
    }
  }

  /** Something happened after which it is to be asked whether the store is there. */
  failed(error: unknown): void {
    if (this.#isAway || this.#isClosed) return;
    this.#isAway = true;
    const { name, logger } = this.#options;
    logger.error({ reason: reasonOf(error) }, `${name} is away: the cache goes on without it`);
    this.#probeLater();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#probing;
  }

  #refused(error: unknown): void {
    if (this.#isClosed) return;
    if (this.#retryAt === null) {
      const { name, logger } = this.#options;
      logger.error({ reason: reasonOf(error) }, `${name} takes no changes: new answers are not kept`);
    }
    this.#retryAt = performance.now() + RETRY_MILLISECONDS;
  }

  #probeLater(): void {
    this.#timer = setTimeout(() => {
      this.#probing = this.#probe();
    }, RETRY_MILLISECONDS).unref();
  }

  async #probe(): Promise<void> {
    try {
      await within(this.#options.probe(), PROBE_MILLISECONDS);
    } catch {
      if (!this.#isClosed) this.#probeLater();
      return;
    }
    if (this.#isClosed) return;
    this.#isAway = false;
    this.#options.logger.info(`${this.#options.name} is back`);
  }

  #expectHere(): void {
    if (this.#isAway || this.#isClosed) throw this.#unavailable();
  }

  #unavailable(cause?: unknown): StoreUnavailable {
    return new StoreUnavailable(`${this.#options.name} is not available`, { cause });
  }
}

function within<T>(work: Promise<T>, milliseconds: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(async () => {
      // Where this process was held up, the answer may lie there unread.
      await nextTurn();
      reject(new TooLate(`no answer in ${milliseconds} ms`));
    }, milliseconds);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Without the error's further properties: a client library's have in them what was to be stored. */
function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
