/** What became of looking for an answer. */
export type LookupResult = 'hit_exact' | 'hit_similar' | 'hit_shared' | 'miss' | 'bypass';

/** Why an entry was taken out. */
export type RemovalReason =
  /** Its category was full. */
  | 'quota'
  | 'expired'
  /** Its category is not cached any more. */
  | 'disabled'
  /** A newer answer to the same request took its place. */
  | 'replaced'
  /** The adapter, or its version, is not served any more. */
  | 'outdated'
  /** An administrator wanted it. */
  | 'purged'
  | 'reported';

/** Is told what the cache does. It runs within requests: it has to be quick. Categories are those of the configuration. */
export interface CacheMetrics {
  /** @param seconds null where it waited for an answer that was being made, and none was looked for */
  looked(result: LookupResult, category: string | null, seconds: number | null): void;
  /** A question was embedded, or was not in time. */
  embedded(isMade: boolean, seconds: number): void;
  /** A similar question was compared, by the verifier or by the base model. */
  verified(by: 'verifier' | 'model', isSame: boolean, seconds: number): void;
  removed(reason: RemovalReason, entries: number): void;
  /** Somebody said that an answer was wrong. */
  reported(category: string): void;
}
