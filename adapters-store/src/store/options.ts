import type { BlobStore } from '../blobs/blob-store.ts';
import type { Database } from '../metadata/database.ts';
import type { BaseModelShape } from '../types.ts';

export interface AdaptersStoreOptions {
  readonly database: Database;
  readonly blobs: BlobStore;
  /** A directory for what is being checked; on the disk of the blobs, so that it is moved and not copied. */
  readonly staging: string;
  readonly model: BaseModelShape & { readonly digest: string };
  /** Seconds that a version stays after the last tag has left it: somebody may still be using it. */
  readonly graceSeconds: number;
  /** Names that stand for something else, which would hide an adapter of that name. */
  readonly isReserved?: (name: string) => boolean;
  /** Milliseconds since 1970. */
  readonly clock?: () => number;
}
