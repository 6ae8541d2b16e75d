import type { Database, Imports, Secrets } from '@polylora/adapters-store';
import type { Authenticator } from '../access/authenticator.ts';
import type { Sessions } from '../access/sessions.ts';
import type { Backend } from '../backends/backend.ts';
import type { BatchService } from '../batches/batch-service.ts';
import type { CacheHost } from '../cache/cache-host.ts';
import type { Dashboard } from '../dashboard/dashboard.ts';
import type { Proxies } from '../http/proxies.ts';
import type { InFlight } from '../in-flight.ts';
import type { LiveMeter } from '../live/live-meter.ts';
import type { LiveRoom } from '../live/live-room.ts';
import type { LiveSampler } from '../live/live-sampler.ts';
import type { Logger } from '../logging.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { RecentRequests } from '../requests/recent-requests.ts';
import type { ResponseStore } from '../responses/response-store.ts';
import type { SteadyClock } from '../steady-clock.ts';
import type { TenantsHost } from '../tenants/tenants-host.ts';
import type { Tracing } from '../tracing/tracing.ts';
import type { AdminAdaptersDeps } from './admin/adapters.ts';
import type { CacheMode } from './admin/opened-cache.ts';
import type { RuntimeLoraDeps } from './runtime-lora.ts';

/** What the routes work with. */
export interface GatewayDeps {
  /** The backend as of now: another one stands in while the real one starts. */
  readonly backend: () => Backend;
  readonly inFlight: InFlight;
  readonly metrics: Metrics;
  /** What is seen of the server live. */
  readonly live: { readonly meter: LiveMeter; readonly sampler: LiveSampler; readonly room: LiveRoom };
  /** Requests that run, and the last that ended. */
  readonly requests: RecentRequests;
  /** Makes traces of requests; null: there are none. */
  readonly tracing: Tracing | null;
  readonly logger: Logger;
  /** Largest request body. */
  readonly requestBodyLimitBytes: number;
  /** Whether clients may ask to come first. */
  readonly allowPriority: boolean;
  /** Finds out who asks; null until keys can be looked up. */
  readonly authenticator: () => Authenticator | null;
  /** Of people at the dashboard; null until the server's secret is read. */
  readonly sessions: () => Sessions | null;
  /** Whom it believes what they say of their clients. */
  readonly proxies: Proxies;
  /** The admin dashboard's files. */
  readonly dashboard: Dashboard;
  /** Tenants and keys; null until they are open, and where keys are not checked. */
  readonly tenants: () => TenantsHost | null;
  /** The metadata's database, which has the audit log; null until it is open. */
  readonly database: () => Database | null;
  /** Whether it lets in only those who have a key. */
  readonly checksKeys: boolean;
  /** Whose pages may ask from a browser. */
  readonly corsOrigins: readonly string[];
  /** Whether prompts are written to the log. */
  readonly logPrompts: boolean;
  /** Whether metrics are for everybody. */
  readonly openMetrics: boolean;
  readonly adminAdapters: AdminAdaptersDeps;
  /** Imports of adapters, or null until the model is known. */
  readonly imports: () => Imports | null;
  /** Tokens of the server's own, or null until the store is open. */
  readonly secrets: () => Secrets | null;
  /** null: adapters are not loaded at clients' wish. */
  readonly runtimeLora: RuntimeLoraDeps | null;
  /** Stored responses, or null until the database is open. */
  readonly responses: () => ResponseStore | null;
  /** Answers that are given again; null: none are. */
  readonly cache: () => CacheHost | null;
  /** Whether the configuration wants them to be, for equal questions or for similar ones too. */
  readonly cacheMode: CacheMode;
  readonly clock: SteadyClock;
  /** Files and batches, or null while they are not open. */
  readonly batches: () => BatchService | null;
  /** Largest file to upload. */
  readonly fileLimitBytes: number;
  /** Most that a tenant's files may take together. */
  readonly fileStorageLimitBytes: number;
}
