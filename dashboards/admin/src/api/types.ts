/** What the admin API gives, as its document (`/openapi.json`) has it. Times `at` are milliseconds since 1970, others seconds. */

export interface Page<T> {
  readonly data: readonly T[];
  readonly has_more: boolean;
}

export interface Session {
  readonly role: 'operator' | 'admin';
  readonly tenant: string | null;
  readonly key: string | null;
  readonly csrf: string;
  readonly expires_at: number;
  readonly server: ServerInfo;
}

interface ServerInfo {
  readonly version: string;
  readonly checks_keys: boolean;
  readonly cache: 'off' | 'exact' | 'semantic';
  readonly backend: 'engine' | 'upstream';
  readonly log_prompts: boolean;
  readonly model: string | null;
}

export interface Model {
  readonly id: string;
  readonly root: string;
  readonly parent: string | null;
  readonly max_model_len: number | null;
  readonly task: 'generate' | 'embed';
}

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

export type PoolKind = 'kv' | 'prefix' | 'adapter' | 'free';

/** What the server does in one second. */
export interface Snapshot {
  readonly at: number;
  readonly ready: boolean;
  readonly running: number;
  readonly waiting: number;
  readonly in_flight: number;
  readonly pages: (Readonly<Record<PoolKind, number>> & { readonly total: number }) | null;
  readonly resident_adapters: number | null;
  readonly running_adapters: number | null;
  readonly rates: {
    readonly requests: number;
    readonly errors: number;
    readonly prompt_tokens: number;
    readonly generation_tokens: number;
    readonly cache_lookups: number;
    readonly cache_hits: number;
  };
  readonly first_token_ms: Percentiles | null;
  readonly inter_token_ms: Percentiles | null;
  readonly queue_ms: Percentiles | null;
  readonly tenants: readonly TenantShare[];
}

interface TenantShare {
  readonly tenant: string;
  readonly sequences: number;
  readonly running: number;
  readonly service: number | null;
  readonly weight: number;
}

export type PoolOwner =
  | { readonly kind: 'free' }
  | {
      readonly kind: 'kv';
      readonly request: string;
      readonly tenant: string;
      readonly adapter: string | null;
    }
  | {
      readonly kind: 'prefix';
      readonly tenant: string | null;
      readonly adapter: string | null;
      readonly hits?: number;
    }
  | {
      readonly kind: 'adapter';
      readonly name: string | null;
      readonly digest: string;
      readonly pinned: boolean;
      readonly running: number;
    };

export interface PoolMap {
  readonly page_bytes: number;
  readonly pages_total: number;
  readonly owners: readonly PoolOwner[];
  /** Pages in their order: index of the owner, and how many of its pages follow each other. */
  readonly runs: readonly (readonly [owner: number, count: number])[];
}

export interface BackendStatus {
  readonly id: string;
  readonly kind: 'engine' | 'upstream';
  readonly ready: boolean;
  readonly model: string | null;
  readonly url: string | null;
  readonly restarts: number | null;
  readonly threads: number | null;
  readonly simd: string | null;
  readonly running: number;
  readonly waiting: number;
  readonly circuit: 'closed' | 'open' | 'half_open' | null;
  readonly last_error: string | null;
  readonly since: number | null;
}

export type PhaseName = 'admission' | 'cache' | 'queue' | 'adapter_load' | 'prefill' | 'decode' | 'upstream';

export interface Phase {
  readonly name: PhaseName;
  /** After the request came. */
  readonly start_ms: number;
  readonly duration_ms: number;
}

export type RequestState = 'running' | 'done' | 'failed' | 'aborted';

export interface RequestEntry {
  /** Of the entry. */
  readonly id: string;
  /** What the answer's head has. */
  readonly request_id: string;
  readonly at: number;
  readonly state: RequestState;
  readonly method: string;
  readonly route: string;
  readonly status: number | null;
  readonly error_code: string | null;
  /** null: nobody who is known. */
  readonly tenant: string | null;
  readonly key: string | null;
  readonly model: string | null;
  readonly stream: boolean;
  readonly cache: 'exact' | 'similar' | 'shared' | 'miss' | 'bypass' | null;
  readonly choices: number;
  readonly prompt_tokens: number | null;
  readonly completion_tokens: number | null;
  readonly cached_prompt_tokens: number | null;
  readonly duration_ms: number | null;
  readonly phases: readonly Phase[];
  readonly trace_id: string | null;
  readonly prompt: string | null;
}

export interface AdapterHead {
  readonly name: string;
  readonly owner: string;
  readonly digest: string;
  readonly kind: string;
  readonly task: string;
  readonly bytes: number;
  readonly created: number;
  readonly moved: number;
}

export interface Release {
  readonly name: string;
  readonly release: string;
  readonly digest: string;
  readonly base_digest: string;
  readonly bytes: number;
  readonly kind: string;
  readonly task: string;
  readonly ranks: Readonly<Record<string, number>>;
  readonly source: { readonly kind: string } & Readonly<Record<string, unknown>>;
  readonly parent: string | null;
  readonly note: string | null;
  readonly created: number;
  readonly pinned: boolean;
}

export interface Grant {
  readonly kind: 'tenant' | 'key';
  readonly grantee: string;
}

export interface Adapter {
  readonly name: string;
  readonly owner: string;
  /** Digest that each tag stands for. */
  readonly tags: Readonly<Record<string, string>>;
  /** The newest first. */
  readonly releases: readonly Release[];
  readonly grants: readonly Grant[];
}

export interface Upload {
  readonly id: string;
  readonly name: string;
  readonly bytes: number;
  readonly offset: number;
  readonly max_chunk_bytes: number;
  readonly release: string | null;
}

export interface Budget {
  readonly tokens?: number | null;
  readonly money?: number | null;
}

export type Period = 'day' | 'month' | 'total';
export type Budgets = Readonly<Partial<Record<Period, Budget | null>>>;

export interface Limits {
  readonly requests_per_minute?: number | null;
  readonly tokens_per_minute?: number | null;
  readonly concurrent_requests?: number | null;
  readonly tokens_per_request?: number | null;
  readonly budgets?: Budgets | null;
}

export interface Tenant {
  readonly id: string;
  readonly name: string | null;
  readonly blocked: boolean;
  readonly models: readonly string[];
  readonly limits: Limits;
  readonly weight: number;
  readonly allow_priority: boolean;
  readonly created: number;
  readonly updated: number;
}

export type Role = 'operator' | 'admin' | 'user';

export interface ApiKey {
  readonly id: string;
  /** Its text, where it was just made. */
  readonly key?: string;
  readonly tenant: string;
  readonly role: Role;
  readonly alias: string | null;
  readonly blocked: boolean;
  readonly models: readonly string[];
  readonly limits: Limits;
  readonly expires: number | null;
  readonly secrets: readonly {
    readonly prefix: string;
    readonly expires: number | null;
    readonly created: number;
  }[];
  readonly created_by: string;
  readonly created: number;
  readonly updated: number;
}

export interface SpendRow {
  readonly day?: string;
  readonly key?: string;
  readonly model?: string;
  readonly requests: number;
  readonly prompt_tokens: number;
  readonly cached_tokens: number;
  readonly completion_tokens: number;
  readonly money: number;
}
