/** The store's files in S3: `@polylora/adapters-store/s3`, which is large and loaded by those alone who need it. */
export { BlobCache } from './blobs/blob-cache.ts';
export { S3Blobs } from './blobs/s3-blobs.ts';
export { createS3Client } from './s3/client.ts';
