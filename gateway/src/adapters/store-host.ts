import { join } from 'node:path';
import {
  AdaptersStore,
  AdapterUploads,
  type BaseModelShape,
  type BlobStore,
  type Database,
  DirectoryBlobs,
  Imports,
  type PushLimits,
  Secrets,
  Sources,
} from '@polylora/adapters-store';
import { parseS3Location } from '@polylora/adapters-store/options';
import type { Logger } from '../logging.ts';
import type { SteadyClock } from '../steady-clock.ts';

/** What the hub's token is kept under. */
export const HUB_TOKEN = 'hub-token';
/** How often versions are looked through for those that nothing refers to any more. */
const COLLECT_MILLISECONDS = 10 * 60 * 1000;

export interface StoreHostOptions {
  /** Of the blobs, of what is being checked, and of the metadata where that is SQLite's. */
  readonly directory: string;
  /** The metadata, which whoever opened it closes. */
  readonly database: Database;
  /** Where the blobs are. */
  readonly blobs: BlobsOptions;
  readonly imports: ImportsConfig;
  readonly graceSeconds: number;
  /** Names that no adapter may be pushed under. */
  readonly isReserved: (name: string) => boolean;
  readonly model: BaseModelShape & { readonly digest: string };
  readonly limits: PushLimits;
  /** Uploads that a tenant may have open at once, and the bytes that these may announce together. */
  readonly mostUploads: { readonly uploads: number; readonly bytes: number };
  readonly clock: SteadyClock;
  readonly logger: Logger;
}

export interface ImportsConfig {
  readonly hubUrl: string;
  /** Hosts and origins that are connected to. */
  readonly hosts: readonly string[];
  /** For the hub where no token was set through the API. */
  readonly hubToken: () => string | null;
  /** What tokens are encrypted with. */
  readonly secretKey: () => Promise<Buffer>;
}

export interface BlobsOptions {
  /** `s3://…`; null: the store's directory. */
  readonly location: string | null;
  /** Most that local copies of what is kept in S3 may take. */
  readonly cacheBytes: number;
  /** null: Amazon's. */
  readonly s3Endpoint: string | null;
  /** null: from the environment. */
  readonly s3Region: string | null;
}

/** An open store. */
export interface StoreHost {
  readonly store: AdaptersStore;
  /** Adapters that come in parts. */
  readonly uploads: AdapterUploads;
  readonly imports: Imports;
  readonly secrets: Secrets;
  close(): Promise<void>;
}

/** Where a store's adapters are while they are uploaded and checked; what is left there goes with time. */
export function stagingOf(directory: string): string {
  return join(directory, 'staging');
}

/**
 * Opens the store and collects what nothing refers to, now and from time to time.
 * @throws MetadataError
 */
export async function openStore(options: StoreHostOptions): Promise<StoreHost> {
  const { directory, graceSeconds, isReserved, model, limits, mostUploads, logger } = options;
  const { database } = options;
  const blobs = await openBlobs(directory, options.blobs);
  const clock = () => options.clock.now();
  const store = new AdaptersStore({
    ...{ database, blobs, model, graceSeconds, isReserved, clock },
    staging: stagingOf(directory),
  });
  const uploads = new AdapterUploads({
    ...{ store, model, limits, most: mostUploads, clock },
    directory: join(directory, 'uploads'),
  });
  const { hubUrl, hosts, hubToken, secretKey } = options.imports;
  const secrets = new Secrets(database, secretKey);
  const sources = new Sources({
    ...{ hubUrl, hosts },
    hubToken: async () => (await secrets.get(HUB_TOKEN)) ?? hubToken(),
    s3Endpoint: options.blobs.s3Endpoint,
    s3Region: options.blobs.s3Region,
  });
  const imports = new Imports({
    ...{ database, store, sources, limits },
    staging: stagingOf(directory),
    onFault: (error) => logger.error({ err: error }, 'an import failed'),
  });
  let collecting = Promise.resolve();
  const collect = () => {
    collecting = store
      .collect()
      .then((removed) => {
        if (removed.length > 0) logger.info({ removed }, 'adapter versions collected');
      })
      .catch((error: unknown) => logger.error({ err: error }, 'adapter versions cannot be collected'))
      .then(() => uploads.collect())
      .catch((error: unknown) => logger.error({ err: error }, 'abandoned uploads cannot be removed'));
  };
  collect();
  const timer = setInterval(collect, COLLECT_MILLISECONDS);
  return {
    ...{ store, uploads, imports, secrets },
    async close() {
      clearInterval(timer);
      await imports.close();
      await sources.close();
      await collecting;
      blobs.close();
    },
  };
}

async function openBlobs(
  directory: string,
  { location, cacheBytes, s3Endpoint, s3Region }: BlobsOptions,
): Promise<BlobStore> {
  const bucket = location === null ? null : parseS3Location(location);
  if (bucket === null) return new DirectoryBlobs(join(directory, 'blobs'));
  const { BlobCache, createS3Client, S3Blobs } = await import('@polylora/adapters-store/s3');
  const client = createS3Client({ endpoint: s3Endpoint, region: s3Region });
  return new S3Blobs(client, bucket, new BlobCache(join(directory, 'blob-cache'), cacheBytes));
}
