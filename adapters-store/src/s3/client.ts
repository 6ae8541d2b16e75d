import { Agent } from 'node:https';
import type { LookupFunction } from 'node:net';
import { S3Client } from '@aws-sdk/client-s3';

export interface S3ClientOptions {
  /** null: Amazon's, for the region. */
  readonly endpoint: string | null;
  /** null: from the environment or the AWS configuration. */
  readonly region: string | null;
  /** How names become addresses; null: the system's way. */
  readonly lookup?: LookupFunction | null;
}

const CONNECT_MILLISECONDS = 5_000;
/** Without a byte. */
const IDLE_MILLISECONDS = 30_000;
const ATTEMPTS = 3;
/** Servers of other makes ask for a region to sign with, and take any. */
const ANY_REGION = 'us-east-1';

/** A client of S3, or of a server that speaks it. Credentials come from where AWS's tools look for them. */
export function createS3Client({ endpoint, region, lookup = null }: S3ClientOptions): S3Client {
  // It warns that its later versions will want a later Node; this version is kept because it does not.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';
  return new S3Client({
    ...(endpoint === null ? {} : { endpoint, forcePathStyle: true, region: ANY_REGION }),
    ...(region === null ? {} : { region }),
    maxAttempts: ATTEMPTS,
    // Servers of other makes do not know the checksums that Amazon's client adds by itself.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: CONNECT_MILLISECONDS,
      socketTimeout: IDLE_MILLISECONDS,
      ...(lookup === null ? {} : { httpsAgent: new Agent({ keepAlive: true, lookup }) }),
    },
  });
}
