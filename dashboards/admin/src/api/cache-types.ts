/** What the admin API gives of the answer cache. */

interface Size {
  readonly entries: number;
  readonly bytes: number;
}

/** A category with its values as they are now, after load and checks have moved them. */
export interface CategoryStatus extends Size {
  readonly name: string;
  readonly enabled: boolean;
  readonly recognized: boolean;
  readonly similarity_threshold: number;
  readonly verify_from: number;
  readonly strictness: number;
  readonly ttl_seconds: number;
  readonly threshold_offset: number;
  readonly relaxation: number;
  readonly max_entries: number;
  readonly max_bytes: number;
  readonly hits: { readonly exact: number; readonly similar: number; readonly shared: number };
  readonly misses: number;
  readonly bypasses: number;
  readonly rejected: number;
  readonly reports: number;
  readonly hit_rate: number | null;
  readonly break_even_hit_rate: number | null;
  readonly saved: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly compute_seconds: number;
  };
  readonly false_hits: {
    readonly rate: number;
    readonly low: number;
    readonly high: number;
    readonly checked: number;
  } | null;
}

export interface CacheStatus extends Size {
  readonly tenant: string | null;
  readonly finds: 'exact' | 'similar';
  readonly embedding: { readonly state: 'loading' | 'ready' | 'failing' } | null;
  readonly since: number;
  readonly in_memory: Size | null;
  readonly index: Size | null;
  readonly store: { readonly state: 'up' | 'away' } | null;
  readonly flights: number | null;
  readonly load: {
    readonly wait_ms: number;
    readonly target_ms: number;
    readonly relaxation: number;
  } | null;
  readonly categories: readonly CategoryStatus[];
}

/** A category as it is configured. */
export interface Category {
  readonly name: string;
  /** By whom: `api` is what was set here. */
  readonly source: 'api' | 'file' | 'built-in';
  readonly enabled: boolean;
  readonly similarity_threshold: number;
  readonly verify_from: number;
  readonly strictness: number;
  readonly ask_model: boolean;
  readonly ttl_seconds: number;
  readonly stale_seconds: number;
  readonly max_entries: number;
  readonly max_bytes: number;
  readonly max_temperature: number;
  readonly multi_turn: boolean;
  readonly priority: number;
  readonly examples: readonly string[];
}

export interface CacheEntry {
  readonly id: string;
  readonly tenant: string;
  readonly model: string;
  readonly root: string;
  readonly category: string;
  readonly tags: readonly string[];
  readonly created: number;
  readonly expires: number;
  readonly bytes: number;
  readonly hits: number;
  readonly compute_seconds: number;
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly question?: string | null;
}

export interface CacheEntries {
  readonly data: readonly CacheEntry[];
  readonly last_id: string | null;
  readonly has_more: boolean;
}

export interface CacheHit {
  readonly at: number;
  readonly request_id: string;
  readonly entry_id: string;
  readonly level: 'exact' | 'similar' | 'shared';
  readonly category: string;
  readonly tenant: string;
  readonly similarity: number;
  readonly probability: number | null;
  readonly threshold: number;
  readonly strictness: number;
  readonly age_seconds: number;
  readonly question: string | null;
  readonly entry_question: string | null;
}

export interface Explanation {
  readonly category: string;
  readonly classified_by: 'request' | 'classifier';
  readonly threshold: number;
  readonly strictness: number;
  readonly candidates: readonly {
    readonly entry_id: string;
    readonly question: string | null;
    readonly similarity: number;
    readonly probability: number | null;
    readonly is_hit: boolean;
    readonly because: string;
  }[];
}

/** What other values would have answered of the lookups that are remembered. */
export interface Preview {
  readonly lookups: number;
  readonly hits_now: number;
  readonly hits_then: number;
}

export interface Purged extends Size {
  readonly dry_run: boolean;
}
