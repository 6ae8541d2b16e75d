import { join } from 'node:path';
import { GetObjectCommand, HeadObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { StorageError } from '../blobs/blob-store.ts';
import { CONFIG_FILE, MAX_CONFIG_BYTES, WEIGHTS_FILE } from '../peft/adapter.ts';
import { isMissing, s3Failure } from '../s3/failures.ts';
import type { S3Location } from '../s3/location.ts';
import type { VersionSource } from '../version.ts';
import { type Bounds, saveFile } from './download.ts';
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
  const find = (name: string) => findObject(client, bucket, `${prefix}${name}`, bounds.signal);
  const [config, weights] = [await find(CONFIG_FILE), await find(WEIGHTS_FILE)];
  onTotal(config.bytes + weights.bytes);
  await saveFile(config, join(directory, CONFIG_FILE), { ...bounds, maxBytes: MAX_CONFIG_BYTES });
  await saveFile(weights, join(directory, WEIGHTS_FILE), bounds);
  return { kind: 's3', location: `s3://${bucket}/${prefix}`, etag: weights.etag.replaceAll('"', '') };
}

/** An object as it is now: what is opened is that one, whatever is put in its place meanwhile. */
async function findObject(client: S3Client, Bucket: string, Key: string, abortSignal: AbortSignal) {
  const asked = async <Answer>(ask: () => Promise<Answer>): Promise<Answer> => {
    try {
      return await ask();
    } catch (error) {
      abortSignal.throwIfAborted();
      throw asSourceError(error, `s3://${Bucket}/${Key}`);
    }
  };
  const { ContentLength, ETag } = await asked(() =>
    client.send(new HeadObjectCommand({ Bucket, Key }), { abortSignal }),
  );
  if (ContentLength === undefined || ETag === undefined)
    throw new SourceError('source_unavailable', `S3 told too little of s3://${Bucket}/${Key}`);
  return {
    name: Key.split('/').at(-1) ?? Key,
    bytes: ContentLength,
    etag: ETag,
    async open(from: number): Promise<AsyncIterable<Uint8Array>> {
      const range = from === 0 ? {} : { Range: `bytes=${from}-` };
      const { Body } = await asked(() =>
        client.send(new GetObjectCommand({ Bucket, Key, IfMatch: ETag, ...range }), { abortSignal }),
      );
      return Body as AsyncIterable<Uint8Array>;
    },
  };
}

function asSourceError(error: unknown, what: string): unknown {
  if (error instanceof SourceError) return error;
  if (isMissing(error) || (error instanceof Error && error.name === 'NoSuchBucket'))
    return new SourceError('source_not_found', `there is no ${what}`);
  const failure = s3Failure(error, 'importing an adapter');
  return failure instanceof StorageError ? new SourceError(CODES[failure.code], failure.message) : failure;
}
