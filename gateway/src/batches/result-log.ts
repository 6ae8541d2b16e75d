import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { z } from 'zod';
import { contentOf } from './file-store.ts';
import { readLines } from './lines.ts';

const Usage = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  prompt_tokens_details: z.object({ cached_tokens: z.int() }).nullish(),
});

/** What a line of an output or error file says, exactly as OpenAI's. */
const LineResult = z.object({
  id: z.string(),
  custom_id: z.string(),
  response: z
    .object({
      status_code: z.int(),
      request_id: z.string(),
      body: z.looseObject({ usage: Usage.optional() }),
    })
    .nullable(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
});
export type LineResult = z.infer<typeof LineResult>;

interface Waiting {
  readonly text: string;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

/**
 * A file of results that grows by whole lines. Lines that come while others are being synced are written and synced
 * together, so that one slow sync is paid by many.
 */
export class ResultLog {
  readonly #handle: FileHandle;
  /** Bytes that are whole lines. */
  #size: number;
  /** Whether the file may hold more than that. */
  #torn = false;
  #waiting: Waiting[] = [];
  #flushing: Promise<void> | null = null;

  private constructor(handle: FileHandle, size: number) {
    this.#handle = handle;
    this.#size = size;
  }

  /**
   * Opens a directory's log, made where there is none. What a crash left of a line at its end is cut off, from the
   * first line that is not a result: after a loss of power that may be more than one.
   * @param onResult told of each result that is there
   */
  static async open(directory: string, onResult: (result: LineResult) => void): Promise<ResultLog> {
    await mkdir(directory, { recursive: true });
    const path = contentOf(directory);
    const handle = await open(path, 'a');
    let size = 0;
    for await (const { bytes, length, ended } of readLines(path, Number.POSITIVE_INFINITY)) {
      const result = ended && bytes !== null ? parseResult(bytes) : null;
      if (result === null) break;
      onResult(result);
      size += length + 1;
    }
    await handle.truncate(size);
    return new ResultLog(handle, size);
  }

  /** Resolves when the result is on the disk. After a failure it is not in the file. */
  append(result: LineResult): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ text: `${JSON.stringify(result)}\n`, done, failed });
      this.#flushing ??= this.#flush();
    });
  }

  async close(): Promise<void> {
    await this.#flushing;
    if (this.#torn) await this.#handle.truncate(this.#size);
    await this.#handle.close();
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#waiting;
      this.#waiting = [];
      try {
        // Half a line must not stand before the next one.
        if (this.#torn) await this.#handle.truncate(this.#size);
        this.#torn = true;
        const bytes = Buffer.from(group.map(({ text }) => text).join(''));
        await this.#handle.appendFile(bytes);
        await this.#handle.datasync();
        this.#size += bytes.length;
        this.#torn = false;
        for (const { done } of group) done();
      } catch (error) {
        for (const { failed } of group) failed(error);
      }
    }
    this.#flushing = null;
  }
}

function parseResult(bytes: Buffer): LineResult | null {
  try {
    return LineResult.parse(JSON.parse(bytes.toString('utf8')));
  } catch {
    return null;
  }
}
