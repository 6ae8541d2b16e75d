export { BlobCache } from './blobs/blob-cache.ts';
export { type BlobStore, StorageError, type StorageErrorCode, storageError } from './blobs/blob-store.ts';
export { DirectoryBlobs } from './blobs/directory-blobs.ts';
export { S3Blobs } from './blobs/s3-blobs.ts';
export { AdapterError, type AdapterErrorCode, type AdapterIssue } from './errors.ts';
export { findTampering } from './metadata/audit-log.ts';
export { type Database, MetadataError, migrateBack, openDatabase } from './metadata/database.ts';
export { isAdapterName } from './name.ts';
export { readAdapter } from './peft/adapter.ts';
export {
  AdapterDirectory,
  type AdapterFolder,
  type AdapterProblem,
  type CheckedFolder,
} from './peft/directory.ts';
export { createS3Client } from './s3/client.ts';
export { parseS3Location, type S3Location } from './s3/location.ts';
export {
  type AdapterDetails,
  type AdapterEntry,
  type AdapterFiles,
  EVERYONE,
  type Grantee,
  type Principal,
} from './store/access.ts';
export type { PushLimits, Release } from './store/push.ts';
export { AdaptersStore } from './store.ts';
export { StoreError, type StoreErrorCode, UploadOffsetError } from './store-error.ts';
export type { Adapter, BaseModelShape, LoraModule, LoraPair, TensorLocation } from './types.ts';
export { AdapterUploads, type NewUpload, type Upload } from './uploads/adapter-uploads.ts';
export type { Version, VersionSource } from './version.ts';
