import { S3ServiceException } from '@aws-sdk/client-s3';
import { StorageError, storageError } from '../blobs/blob-store.ts';

const FULL: ReadonlySet<string> = new Set([
  'InsufficientCapacity',
  'InsufficientStorage',
  'QuotaExceeded',
  'XMinioAdminBucketQuotaExceeded',
  'XMinioStorageFull',
]);
const DENIED: ReadonlySet<string> = new Set([
  'AccessDenied',
  'AllAccessDisabled',
  'CredentialsProviderError',
  'ExpiredToken',
  'InvalidAccessKeyId',
  'InvalidToken',
  'SignatureDoesNotMatch',
]);
const INSUFFICIENT_STORAGE = 507;

/** Whether S3 says that there is no such object. */
export function isMissing(error: unknown): boolean {
  return error instanceof S3ServiceException && (error.name === 'NoSuchKey' || error.name === 'NotFound');
}

/** What S3, or the way to it, could not do, as one of the storage's errors; any other is given back as it is. */
export function s3Failure(cause: unknown, doing: string): unknown {
  if (!(cause instanceof Error) || cause instanceof StorageError) return cause;
  const { name } = cause;
  const status = cause instanceof S3ServiceException ? cause.$metadata.httpStatusCode : undefined;
  if (FULL.has(name) || status === INSUFFICIENT_STORAGE) {
    const message = `S3 has no room left while ${doing} (${name}); remove versions or raise its quota`;
    return new StorageError('storage_full', message, { cause });
  }
  if (DENIED.has(name) || status === 401 || status === 403) {
    const message = `S3 refuses access while ${doing} (${name}); check the credentials and what they may do in the bucket`;
    return new StorageError('storage_denied', message, { cause });
  }
  // Amazon's client has no name of its own for it.
  if (cause.message === 'Region is missing') {
    const message = `S3 cannot be asked while ${doing}: name a region by --s3-region or AWS_REGION, or a server of another make by --s3-endpoint`;
    return new StorageError('storage_unavailable', message, { cause });
  }
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : '';
  // The body of an answer that breaks off has no sign of S3's on it.
  const isBroken = name === 'TimeoutError' || code.startsWith('ERR_STREAM_') || cause.message === 'aborted';
  if (cause instanceof S3ServiceException || '$metadata' in cause || isBroken) {
    const reason = code || name;
    return new StorageError(
      'storage_unavailable',
      `S3 does not answer as it should while ${doing} (${reason})`,
      {
        cause,
      },
    );
  }
  return storageError(cause, doing);
}
