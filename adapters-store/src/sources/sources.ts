import type { S3Client } from '@aws-sdk/client-s3';
import type { VersionSource } from '../version.ts';
import type { Bounds } from './download.ts';
import { Allowlist } from './egress/allowlist.ts';
import type { GuardedFetch } from './egress/guarded-fetch.ts';
import type { Source } from './source.ts';

export interface SourcesOptions {
  /** Hosts and origins that are connected to; see `Allowlist`. */
  readonly hosts: readonly string[];
  /** `https://huggingface.co`, or a server that speaks as it does. */
  readonly hubUrl: string;
  /** For private and gated repositories; null: none. */
  readonly hubToken: () => Promise<string | null>;
  /** null: Amazon's. One that is given may be in the operator's own network. */
  readonly s3Endpoint: string | null;
  readonly s3Region: string | null;
}

/** Where adapters are fetched from. The clients are large, and loaded when the first import is asked for. */
export class Sources {
  readonly #options: SourcesOptions;
  readonly #allowlist: Allowlist;
  #guard: GuardedFetch | null = null;
  #s3: S3Client | null = null;

  /** @throws RangeError for a host that is none */
  constructor(options: SourcesOptions) {
    this.#options = options;
    this.#allowlist = new Allowlist(options.hosts);
  }

  /**
   * Fetches an adapter's two files into a directory.
   * @param onTotal told how many bytes there are, as soon as that is known
   * @returns where exactly they came from
   * @throws SourceError, StorageError, or the signal's reason
   */
  async fetch(
    source: Source,
    directory: string,
    bounds: Bounds,
    onTotal: (bytes: number) => void,
  ): Promise<VersionSource> {
    if (source.kind === 's3') {
      const { fetchFromS3 } = await import('./s3.ts');
      return fetchFromS3(source, directory, await this.#s3Client(), bounds, onTotal);
    }
    const { fetchFromHub } = await import('./hub.ts');
    const { GuardedFetch } = await import('./egress/guarded-fetch.ts');
    this.#guard ??= new GuardedFetch({ allowlist: this.#allowlist });
    const { hubUrl, hubToken } = this.#options;
    const access = { url: hubUrl.replace(/\/+$/, ''), fetch: this.#guard.fetch, token: await hubToken() };
    return fetchFromHub(source, directory, access, bounds, onTotal);
  }

  async close(): Promise<void> {
    this.#s3?.destroy();
    await this.#guard?.close();
  }

  async #s3Client(): Promise<S3Client> {
    const { createS3Client } = await import('../s3/client.ts');
    const { guardedLookup } = await import('./egress/guarded-fetch.ts');
    const { s3Endpoint: endpoint, s3Region: region } = this.#options;
    this.#s3 ??= createS3Client({
      endpoint,
      region,
      // A bucket's name is a part of a host's name there.
      lookup: endpoint === null ? guardedLookup(['public']) : null,
    });
    return this.#s3;
  }
}
