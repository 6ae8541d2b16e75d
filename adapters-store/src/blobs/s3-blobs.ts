import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  paginateListObjectsV2,
  type S3Client,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { isMissing, s3Failure } from '../s3/failures.ts';
import type { S3Location } from '../s3/location.ts';
import type { BlobCache } from './blob-cache.ts';
import { type BlobStore, isBlobId, StorageError, type StoredBlob, storageError } from './blob-store.ts';

const SUFFIX = '.safetensors';
/** Of the object, in hex; S3's own checksums are not known to every server. */
const CHECKSUM = 'sha256';
const PART_BYTES = 8 << 20;
const PARTS_AT_ONCE = 2;

/** Blobs as objects of an S3 bucket, with local copies of those in use. */
export class S3Blobs implements BlobStore {
  readonly #client: S3Client;
  readonly #location: S3Location;
  readonly #cache: BlobCache;

  constructor(client: S3Client, location: S3Location, cache: BlobCache) {
    this.#client = client;
    this.#location = location;
    this.#cache = cache;
  }

  async put(id: string, file: string): Promise<void> {
    const { size } = await stat(file).catch((error: unknown) => {
      throw storageError(error, 'keeping an adapter');
    });
    const sha256 = await digestOf(file);
    try {
      const upload = new Upload({
        client: this.#client,
        partSize: PART_BYTES,
        queueSize: PARTS_AT_ONCE,
        params: {
          ...this.#object(id),
          Body: createReadStream(file),
          ContentType: 'application/octet-stream',
          Metadata: { [CHECKSUM]: sha256 },
        },
      });
      await upload.done();
      // What is not there in full would otherwise be found out when the file here is gone.
      const { ContentLength, Metadata } = await this.#client.send(new HeadObjectCommand(this.#object(id)));
      if (ContentLength !== size || Metadata?.[CHECKSUM] !== sha256)
        throw new StorageError('storage_unavailable', 'S3 has not kept what it was sent');
    } catch (error) {
      throw s3Failure(error, 'keeping an adapter');
    }
    await this.#cache.add(id, file);
  }

  locate(id: string): Promise<string> {
    return this.#cache.get(id, (path, reserve) => this.#fetch(id, path, reserve));
  }

  async has(id: string): Promise<boolean> {
    try {
      await this.#client.send(new HeadObjectCommand(this.#object(id)));
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw s3Failure(error, 'looking for an adapter');
    }
  }

  async delete(id: string): Promise<void> {
    // Here first: what cannot be removed there is still not served from here.
    await this.#cache.remove(id);
    try {
      await this.#client.send(new DeleteObjectCommand(this.#object(id)));
    } catch (error) {
      if (!isMissing(error)) throw s3Failure(error, 'removing an adapter');
    }
  }

  async *list(): AsyncGenerator<StoredBlob> {
    const { bucket: Bucket, prefix: Prefix } = this.#location;
    try {
      for await (const { Contents = [] } of paginateListObjectsV2(
        { client: this.#client },
        { Bucket, Prefix },
      )) {
        for (const { Key = '', LastModified } of Contents) {
          const id = Key.endsWith(SUFFIX) ? Key.slice(Prefix.length, -SUFFIX.length) : '';
          // Without a time it is taken for new: nothing is removed too early.
          if (isBlobId(id)) yield { id, storedAt: LastModified?.getTime() ?? Date.now() };
        }
      }
    } catch (error) {
      throw s3Failure(error, 'listing the adapters');
    }
  }

  hold(content: string): () => void {
    return this.#cache.hold(content);
  }

  onGone(listener: (content: string) => void): void {
    this.#cache.onGone(listener);
  }

  close(): void {
    this.#client.destroy();
  }

  async #fetch(id: string, path: string, reserve: (bytes: number) => void): Promise<void> {
    try {
      const { Body, ContentLength, Metadata } = await this.#client.send(
        new GetObjectCommand(this.#object(id)),
      );
      if (Body === undefined || ContentLength === undefined)
        throw new StorageError('storage_unavailable', `S3 told no length of ${id}`);
      try {
        reserve(ContentLength);
        await write(Body as AsyncIterable<Uint8Array>, path, {
          id,
          bytes: ContentLength,
          sha256: Metadata?.[CHECKSUM] ?? '',
        });
      } finally {
        // A connection with the rest of an answer on it would never be free again.
        if ('destroy' in Body && typeof Body.destroy === 'function') Body.destroy();
      }
    } catch (error) {
      if (isMissing(error))
        throw new StorageError('blob_missing', `the file of ${id} is gone from the store`, { cause: error });
      throw s3Failure(error, 'fetching an adapter');
    }
  }

  #object(id: string): { Bucket: string; Key: string } {
    const { bucket, prefix } = this.#location;
    return { Bucket: bucket, Key: `${prefix}${id}${SUFFIX}` };
  }
}

interface Expected {
  readonly id: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** @throws StorageError where it is not what was put */
async function write(
  body: AsyncIterable<Uint8Array>,
  path: string,
  { id, bytes, sha256 }: Expected,
): Promise<void> {
  const hash = createHash('sha256');
  let done = 0;
  const handle = await open(path, 'wx', 0o600);
  try {
    for await (const chunk of body) {
      done += chunk.length;
      if (done > bytes) break;
      hash.update(chunk);
      for (let from = 0; from < chunk.length; )
        from += (await handle.write(chunk, from, chunk.length - from)).bytesWritten;
    }
  } finally {
    await handle.close();
  }
  if (done === bytes && hash.digest('hex') === sha256) return;
  const message = `what S3 sent of ${id} is not what was put there; nothing of it is used`;
  throw new StorageError('storage_unavailable', message);
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  } catch (error) {
    throw storageError(error, 'keeping an adapter');
  }
  return hash.digest('hex');
}
