/** A gateway in this process, on a database of its own: all of it but an engine. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Database, openDatabase } from '@polylora/adapters-store';
import { KeyAuthenticator } from '../../gateway/src/access/authenticator.ts';
import { Sessions } from '../../gateway/src/access/sessions.ts';
import { openStore, type StoreHost, stagingOf } from '../../gateway/src/adapters/store-host.ts';
import { createApp } from '../../gateway/src/app.ts';
import type { Backend } from '../../gateway/src/backends/backend.ts';
import { StartingBackend } from '../../gateway/src/backends/starting.ts';
import { WrappedBackend } from '../../gateway/src/backends/wrapped.ts';
import { BatchService } from '../../gateway/src/batches/batch-service.ts';
import type { CacheHost } from '../../gateway/src/cache/cache-host.ts';
import { Dashboard } from '../../gateway/src/dashboard/dashboard.ts';
import { Proxies } from '../../gateway/src/http/proxies.ts';
import { InFlight } from '../../gateway/src/in-flight.ts';
import { LiveMeter } from '../../gateway/src/live/live-meter.ts';
import { LiveRoom } from '../../gateway/src/live/live-room.ts';
import { LiveSampler } from '../../gateway/src/live/live-sampler.ts';
import { createLogger, type Logger } from '../../gateway/src/logging.ts';
import { Metrics } from '../../gateway/src/metrics/metrics.ts';
import { RecentRequests } from '../../gateway/src/requests/recent-requests.ts';
import { ResponseStore } from '../../gateway/src/responses/response-store.ts';
import { SteadyClock } from '../../gateway/src/steady-clock.ts';
import { openTenants, type TenantsHost } from '../../gateway/src/tenants/tenants-host.ts';
import type { Tracing } from '../../gateway/src/tracing/tracing.ts';
import { OPERATOR_KEY } from './operator-key.ts';
import { SHAPE } from './store-model.ts';

export interface TestApp {
  readonly app: ReturnType<typeof createApp>;
  readonly tenants: TenantsHost;
  readonly store: StoreHost;
  readonly database: Database;
  /** Asks it as whoever has this key; null: nobody. A body that is no text is sent as JSON. */
  ask(key: string | null, method: string, path: string, body?: unknown): Promise<TestAnswer>;
  close(): Promise<void>;
}

export interface TestAnswer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked into as they are
  readonly json: any;
  readonly text: string;
}

export interface TestAppOptions {
  readonly backend?: Backend;
  readonly logger?: Logger;
  readonly corsOrigins?: readonly string[];
  readonly clock?: SteadyClock;
  readonly cache?: CacheHost;
  /** The configuration's. */
  readonly operatorKey?: string;
  readonly secret?: Buffer;
  /** One that another gateway may have, too. Without it one of its own. */
  readonly databaseFile?: string;
  /** Where the dashboard is built. Without it it is not. */
  readonly dashboardDirectory?: string;
  readonly trustedProxies?: readonly string[];
  readonly requests?: RecentRequests;
  readonly room?: LiveRoom;
  readonly tracing?: Tracing | null;
  readonly logPrompts?: boolean;
}

/** Takes no requests, and knows that there are no models: for what is asked beside them. */
class NoModels extends WrappedBackend {
  override async models(): Promise<[]> {
    return [];
  }

  override async find(): Promise<null> {
    return null;
  }
}

export async function openApp({
  backend = new NoModels(new StartingBackend()),
  logger = createLogger('silent'),
  corsOrigins = [],
  clock = new SteadyClock(),
  cache,
  operatorKey = OPERATOR_KEY,
  secret = Buffer.alloc(32, 9),
  databaseFile,
  dashboardDirectory,
  trustedProxies = [],
  requests = new RecentRequests(),
  room = new LiveRoom(),
  tracing = null,
  logPrompts = false,
}: TestAppOptions = {}): Promise<TestApp> {
  const folder = await mkdtemp(join(tmpdir(), 'polylora-app-'));
  const database = await openDatabase(databaseFile ?? join(folder, 'polylora.db'));
  const tenants = await openTenants({ database, secret, clock, logger });
  const authenticator = new KeyAuthenticator(tenants.hasher, tenants.registry, operatorKey);
  const sessions = new Sessions(secret, () => clock.now());
  const limits = { maxBytes: 1 << 20, maxRank: 8 };
  const store = await openStore({
    ...{ directory: folder, database, graceSeconds: 60, model: SHAPE, limits, clock, logger },
    blobs: { location: null, cacheBytes: 1 << 20, s3Endpoint: null, s3Region: null },
    imports: {
      hubUrl: 'https://hub.invalid',
      hosts: ['hub.invalid'],
      hubToken: () => null,
      secretKey: async () => secret,
    },
    isReserved: () => false,
    mostUploads: { uploads: 4, bytes: 1 << 20 },
  });
  const metrics = new Metrics();
  const inFlight = new InFlight({ running: 600, queued: 0 });
  const batches = await BatchService.open({
    ...{ directory: join(folder, 'data'), backend: () => backend, inFlight, metrics, logger, clock },
    access: async () => {
      throw new Error('no line runs here');
    },
    reserve: () => {
      throw new Error('no line runs here');
    },
    ...{ concurrency: 4, completionWindowSeconds: 1000, maxLines: 3, maxLineBytes: 10_000 },
    maxLinesInMemory: 1000,
  });
  const responses = await ResponseStore.open({
    ...{ database, clock, logger },
    limits: { bytesPerTenant: 100_000, seconds: 1000 },
  });
  const meter = new LiveMeter();
  const sampler = new LiveSampler({ backend: () => backend, inFlight, meter, clock });
  const app = createApp({
    ...{ backend: () => backend, inFlight, metrics, logger, allowPriority: false },
    live: { meter, sampler, room },
    ...{ requests, tracing, logPrompts },
    ...{ requestBodyLimitBytes: 100_000, fileLimitBytes: 10_000, fileStorageLimitBytes: 100_000 },
    authenticator: () => authenticator,
    sessions: () => sessions,
    proxies: new Proxies(trustedProxies),
    dashboard: new Dashboard(dashboardDirectory ?? join(folder, 'dashboard')),
    tenants: () => tenants,
    database: () => database,
    checksKeys: true,
    corsOrigins,
    openMetrics: false,
    batches: () => batches,
    responses: () => responses,
    cache: () => cache ?? null,
    cacheMode: cache === undefined ? 'off' : cache.isSemantic ? 'semantic' : 'exact',
    clock,
    adminAdapters: {
      store: () => store.store,
      uploads: () => store.uploads,
      staging: stagingOf(folder),
      limits,
    },
    imports: () => store.imports,
    secrets: () => store.secrets,
    runtimeLora: { backend: () => backend, store: () => store.store, root: folder, limits },
  });
  return {
    ...{ app, tenants, store, database },
    async ask(key, method, path, body) {
      const isForm = body instanceof FormData;
      const response = await app.request(path, {
        method,
        headers: {
          ...(key === null ? {} : { authorization: `Bearer ${key}` }),
          ...(body === undefined || isForm ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined
          ? {}
          : { body: isForm || typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      let json: unknown = null;
      try {
        json = JSON.parse(text);
      } catch {
        // Not every answer is JSON.
      }
      return { status: response.status, headers: response.headers, json, text };
    },
    async close() {
      sampler.close();
      responses.close();
      await batches.stop();
      await store.close();
      await tenants.close();
      await database.destroy();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
