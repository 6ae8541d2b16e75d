import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type AdapterFile, contentOf } from './adapter-file.ts';
import type { AdapterRelease, AdminClient, Answer } from './client.ts';
import { type CommandError, ConnectionError, RefusalError } from './errors.ts';
import type { Progress } from './progress.ts';

/** In one request. What a connection that breaks has brought is not lost. */
const CHUNK_BYTES = 16 << 20;
/** Before each new try. Enough for a server to start again. */
const PAUSES_SECONDS = [0.5, 1, 2, 4, 8, 15, 15];
/** Answers of servers, and of proxies before them, that may be others a moment later. */
const PASSING: ReadonlySet<number> = new Set([408, 429, 502, 503, 504]);

/**
 * Sends an adapter in parts, and goes on where it was when a connection breaks.
 * @param about what is told when it begins, beside the size and the hash of the weights
 */
export async function uploadInParts(
  client: AdminClient,
  weights: AdapterFile,
  about: object,
  progress: Progress,
): Promise<Answer<AdapterRelease>> {
  const { bytes } = weights;
  const sha256 = await hashOf(weights);
  const { id, max_chunk_bytes, offset: begun } = await client.beginUpload({ ...about, bytes, sha256 });
  try {
    const chunkBytes = Math.min(CHUNK_BYTES, max_chunk_bytes);
    // More than nothing where the same was broken off before.
    let offset = begun;
    progress.at(offset);
    const tries = new Tries(progress);
    while (offset < bytes) {
      const end = Math.min(bytes, offset + chunkBytes);
      const chunk = { bytes: end - offset, content: contentOf(weights, offset, end) };
      try {
        offset = await client.appendToUpload(id, offset, chunk, (sent) => progress.add(sent));
        tries.restart();
      } catch (error) {
        const before = offset;
        offset = await tries.until(error, () => client.uploadOffset(id));
        if (offset > before) tries.restart();
      }
      progress.at(offset);
    }
    progress.sent();
    return await tries.of(() => client.completeUpload(id));
  } catch (error) {
    // What cannot be told to go, because there is no server, goes by itself.
    await client.abandonUpload(id).catch(() => {});
    throw error;
  }
}

async function hashOf(file: AdapterFile): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of contentOf(file, 0, file.bytes)) hash.update(chunk);
  return hash.digest('hex');
}

/** Tries again what failed for a reason that may pass, a few times and each time later. */
class Tries {
  readonly #progress: Progress;
  #made = 0;

  constructor(progress: Progress) {
    this.#progress = progress;
  }

  /** Something went well. */
  restart(): void {
    this.#made = 0;
  }

  async of<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      return this.until(error, work);
    }
  }

  /** After a first failure. @throws what failed last, or what will not pass */
  async until<T>(first: unknown, work: () => Promise<T>): Promise<T> {
    for (let error = first; ; ) {
      const pause = PAUSES_SECONDS[this.#made++];
      if (!mayPass(error) || pause === undefined) throw error;
      this.#progress.say(`${(error as CommandError).message.split('\n', 1)[0]} Trying again in ${pause} s.`);
      await sleep(pause * 1000);
      try {
        return await work();
      } catch (next) {
        error = next;
      }
    }
  }
}

function mayPass(error: unknown): error is CommandError {
  if (error instanceof ConnectionError) return true;
  if (!(error instanceof RefusalError)) return false;
  return PASSING.has(error.status) || error.code === 'upload_offset_mismatch';
}
