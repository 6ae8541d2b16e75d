import { join } from 'node:path';
import { GetObjectCommand, type GetObjectCommandOutput, type S3Client } from '@aws-sdk/client-s3';
import { StorageError } from '../blobs/blob-store.ts';
import { CONFIG_FILE, WEIGHTS_FILE } from '../peft/adapter.ts';
import { isMissing, s3Failure } from '../s3/failures.ts';
import type { S3Location } from '../s3/location.ts';
import type { VersionSource } from '../version.ts';
import { type Bounds, MOST_CONFIG_BYTES, saveStream } from './download.ts';
import { SourceError, type SourceErrorCode } from './source-error.ts';

const CODES: Readonly<Record<StorageError['code'], SourceErrorCode>> = {
  storage_full: 'source_unavailable',
  storage_unavailable: 'source_unavailable',
  storage_denied: 'source_denied',
  blob_missing: 'source_not_found',
};

/** Fetches an adapter's two files from a bucket. */
export async function fetchFromS3(
  { bucket, prefix }: S3Location,
  directory: string,
  client: S3Client,
  bounds: Bounds,
  onTotal: (bytes: number) => void,
): Promise<VersionSource> {
  const get = (name: string) => getObject(client, bucket, `${prefix}${name}`, bounds.signal);
  const config = await get(CONFIG_FILE);
  const weights = await get(WEIGHTS_FILE).catch((error: unknown) => {
    release(config);
    throw error;
  });
  try {
    onTotal((config.ContentLength ?? 0) + (weights.ContentLength ?? 0));
    await save(config, CONFIG_FILE, directory, { ...bounds, maxBytes: MOST_CONFIG_BYTES });
    await save(weights, WEIGHTS_FILE, directory, bounds);
  } finally {
    release(config);
    release(weights);
  }
  return { kind: 's3', location: `s3://${bucket}/${prefix}`, etag: (weights.ETag ?? '').replaceAll('"', '') };
}

async function getObject(
  client: S3Client,
  Bucket: string,
  Key: string,
  abortSignal: AbortSignal,
): Promise<GetObjectCommandOutput> {
  try {
    return await client.send(new GetObjectCommand({ Bucket, Key }), { abortSignal });
  } catch (error) {
    abortSignal.throwIfAborted();
    if (isMissing(error) || (error instanceof Error && error.name === 'NoSuchBucket'))
      throw new SourceError('source_not_found', `there is no s3://${Bucket}/${Key}`);
    throw asSourceError(error);
  }
}

async function save(
  { Body, ContentLength }: GetObjectCommandOutput,
  name: string,
  directory: string,
  bounds: Bounds,
): Promise<void> {
  try {
    const content = Body as AsyncIterable<Uint8Array>;
    await saveStream({ name, bytes: ContentLength ?? null, content }, join(directory, name), bounds);
  } catch (error) {
    bounds.signal.throwIfAborted();
    // The disk's errors are already the storage's; what is left is S3's.
    throw error instanceof SourceError || error instanceof StorageError ? error : asSourceError(error);
  }
}

function asSourceError(error: unknown): unknown {
  const failure = s3Failure(error, 'importing an adapter');
  return failure instanceof StorageError ? new SourceError(CODES[failure.code], failure.message) : failure;
}

/** A connection with the rest of an answer on it would never be free again. */
function release({ Body }: GetObjectCommandOutput): void {
  if (Body !== undefined && 'destroy' in Body && typeof Body.destroy === 'function') Body.destroy();
}
