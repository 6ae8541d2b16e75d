import type { CacheHost } from '../../cache/cache-host.ts';
import { StoreUnavailable } from '../../cache/documents/document-store.ts';
import { ApiError } from '../../errors.ts';
import { quoted } from '../../openai/fields.ts';

/** Which questions are answered from the cache: none, equal ones, or similar ones too. */
export type CacheMode = 'off' | 'exact' | 'semantic';

export interface CacheDeps {
  /** null until it is open, and where there is none. */
  readonly cache: () => CacheHost | null;
  /** What the configuration wants. */
  readonly cacheMode: CacheMode;
}

/** @throws ApiError cache_disabled, engine_unavailable */
export function openedCache({ cache, cacheMode }: CacheDeps): CacheHost {
  const open = cache();
  if (open !== null) return open;
  if (cacheMode === 'off')
    throw new ApiError('cache_disabled', 'This server keeps no answers (--cache off), and so it has none.');
  throw new ApiError('engine_unavailable', 'The server is starting. Please try again soon.');
}

/** The same for one that is another's. */
export function entryNotFound(id: string): ApiError {
  return new ApiError('cache_entry_not_found', `The cache has no entry '${quoted(id)}'.`);
}

/** Tells that the store is away in the API's form. */
export async function ofStore<T>(answer: () => Promise<T>): Promise<T> {
  try {
    return await answer();
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    const message =
      "The cache's store does not answer. Ask again when it is back: it may still have entries.";
    throw new ApiError('storage_unavailable', message, null, { cause: error });
  }
}
