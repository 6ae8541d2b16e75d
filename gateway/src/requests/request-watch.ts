import type { RequestRecord } from './request-record.ts';

/** What may wait for one who reads slowly; then he is left behind, and may begin anew. */
const MOST_WAITING = 256;

export interface Watcher {
  /** What is to be told of a request, as it is now. */
  readonly write: (record: RequestRecord) => string;
  /** Told where too much waits: the watch is closed, and its connection is to be, which may take nothing at all. */
  readonly onLeftBehind: () => void;
}

interface RequestWatchOptions extends Watcher {
  /** Whose requests; null: all tenants'. */
  readonly tenant: string | null;
  readonly onClose: () => void;
}

/** One who watches requests as they begin and end. */
export class RequestWatch {
  readonly #options: RequestWatchOptions;
  #waiting: string[] = [];
  #isClosed = false;
  #wake = () => {};

  constructor(options: RequestWatchOptions) {
    this.#options = options;
  }

  see(record: RequestRecord): void {
    const { tenant, write, onLeftBehind } = this.#options;
    if (this.#isClosed || (tenant !== null && record.tenant !== tenant)) return;
    if (this.#waiting.length >= MOST_WAITING) {
      this.close();
      onLeftBehind();
      return;
    }
    this.#waiting.push(write(record));
    this.#wake();
  }

  /** What has not been taken yet, once there is something; empty after `milliseconds` without any; null when it is closed. */
  async next(milliseconds: number): Promise<string | null> {
    if (this.#waiting.length === 0 && !this.#isClosed) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, milliseconds);
      });
      clearTimeout(timer);
    }
    if (this.#isClosed) return null;
    const taken = this.#waiting.join('');
    this.#waiting = [];
    return taken;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#waiting = [];
    this.#options.onClose();
    this.#wake();
  }
}
