import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { withFileLock } from '@polylora/engine';
import { BatchService, type BatchServiceOptions } from './batch-service.ts';

/** After which it is worth telling that another server has the directory. */
const LONG_WAIT_MILLISECONDS = 1_000;

/**
 * Opens the batches as soon as no other server has their directory, and closes them in time. A server without them
 * serves all else: two may share a home, and one that takes over from another may start before that has stopped.
 */
export class BatchHost {
  readonly #options: BatchServiceOptions;
  #service: BatchService | null = null;
  #isStopped = false;
  #stop = () => {};
  #closed: Promise<void> = Promise.resolve();

  constructor(options: BatchServiceOptions) {
    this.#options = options;
  }

  /** null while they are not open. */
  get service(): BatchService | null {
    return this.#service;
  }

  start(): void {
    const { directory, logger } = this.#options;
    const late = setTimeout(() => {
      logger.warn(
        { directory },
        'another server uses the data directory; no files and batches until it stops',
      );
    }, LONG_WAIT_MILLISECONDS);
    const work = async () => {
      clearTimeout(late);
      if (this.#isStopped) return;
      // A stop waits from now on; before, there is nothing to wait for.
      this.#closed = this.#serve();
      await this.#closed;
    };
    const open = async () => {
      // What clients sent is nobody else's to read.
      await mkdir(directory, { recursive: true, mode: 0o700 });
      await withFileLock(join(directory, 'server.lock'), work);
    };
    open().catch((error: unknown) => {
      clearTimeout(late);
      logger.error({ directory, err: error }, 'files and batches cannot be opened');
    });
  }

  /** Runs no more lines from now on; files can still be read and written. */
  async giveUp(): Promise<void> {
    await this.#service?.stop();
  }

  /** Resolves when nothing writes to the directory any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#stop();
    await this.#closed.catch(() => {});
  }

  async #serve(): Promise<void> {
    const stopped = new Promise<void>((resolve) => {
      this.#stop = resolve;
    });
    const service = await BatchService.open(this.#options);
    this.#service = service;
    await stopped;
    this.#service = null;
    await service.stop();
  }
}
