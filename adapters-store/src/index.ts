export type { CompiledQuery, Kysely, Migration, Selectable, Transaction } from 'kysely';
export { type BlobStore, StorageError, type StorageErrorCode, storageError } from './blobs/blob-store.ts';
export { DirectoryBlobs } from './blobs/directory-blobs.ts';
export { AdapterError, type AdapterErrorCode, type AdapterIssue } from './errors.ts';
export {
  type AuditRecord,
  type AuditVerification,
  audit,
  auditEntries,
  lastAuditSequence,
  verifyAudit,
} from './metadata/audit-log.ts';
export {
  type CacheDatabase,
  type Database,
  inTurn,
  MetadataError,
  migrateBack,
  migrateBeside,
  openCacheDatabase,
  openDatabase,
  withoutDisk,
} from './metadata/database.ts';
export { isPostgres } from './metadata/dialect.ts';
export type { Tables } from './metadata/tables.ts';
export { isAdapterName } from './name.ts';
export { readAdapter } from './peft/adapter.ts';
export {
  AdapterDirectory,
  type AdapterFolder,
  type AdapterProblem,
  type CheckedFolder,
} from './peft/directory.ts';
export { readSecretKey } from './secrets/secret-key.ts';
export { Secrets } from './secrets/secrets.ts';
export { type ImportJob, Imports } from './sources/imports.ts';
export { SourceError, type SourceErrorCode } from './sources/source-error.ts';
export { Sources } from './sources/sources.ts';
export type { AdapterDetails, AdapterEntry, AdapterFiles } from './store/access.ts';
export { EVERYONE, type Grantee, type Principal } from './store/principal.ts';
export type { PushLimits } from './store/push.ts';
export { AdaptersStore } from './store.ts';
export { StoreError, type StoreErrorCode, UploadOffsetError } from './store-error.ts';
export type {
  AdaptedModule,
  Adapter,
  AdapterTask,
  BaseModelShape,
  LoraModule,
  TensorLocation,
} from './types.ts';
export { AdapterUploads, type NewUpload, type Upload } from './uploads/adapter-uploads.ts';
export type { Release, Version, VersionSource } from './version.ts';
