import { join } from 'node:path';
import {
  type Database,
  isPostgres,
  openDatabase,
  type PushLimits,
  readSecretKey,
} from '@polylora/adapters-store';
import { parseSecretKey } from '@polylora/adapters-store/options';
import { type Access, OPERATOR, OPERATOR_ACCESS } from './access/access.ts';
import { type Authenticator, KeyAuthenticator, OpenAuthenticator } from './access/authenticator.ts';
import { Sessions } from './access/sessions.ts';
import { type StoreHost, stagingOf } from './adapters/store-host.ts';
import { UNLIMITED } from './admission/admission.ts';
import { createApp } from './app.ts';
import type { Backend } from './backends/backend.ts';
import { EncoderBackend } from './backends/encoder.ts';
import { GrantedBackend } from './backends/granted.ts';
import { StartingBackend } from './backends/starting.ts';
import { startUpstream } from './backends/upstream/start.ts';
import { localUrl, readyBanner } from './banner.ts';
import { BatchHost } from './batches/batch-host.ts';
import type { CacheHost } from './cache/cache-host.ts';
import type { LiveConfig, Reload } from './config/live-config.ts';
import { unknownVariables } from './config/load.ts';
import { addressesOf, type Config } from './config/schema.ts';
import { Dashboard } from './dashboard/dashboard.ts';
import { ApiError } from './errors.ts';
import { Proxies } from './http/proxies.ts';
import { InFlight } from './in-flight.ts';
import { LiveMeter } from './live/live-meter.ts';
import { LiveRoom } from './live/live-room.ts';
import { LiveSampler } from './live/live-sampler.ts';
import { createLogger, type Logger } from './logging.ts';
import { Metrics } from './metrics/metrics.ts';
import { RecentRequests } from './requests/recent-requests.ts';
import { ResponseStore } from './responses/response-store.ts';
import { closeServer, createHttpServer, listen } from './server.ts';
import { openCache } from './start/answer-cache.ts';
import { startEmbedded } from './start/embedded.ts';
import { createEncoder } from './start/encoder.ts';
import { SteadyClock } from './steady-clock.ts';
import { NANOS } from './tenants/limits.ts';
import { openTenants, type TenantsHost } from './tenants/tenants-host.ts';
import type { GenAiMetrics } from './tracing/gen-ai-metrics.ts';
import type { Tracing } from './tracing/tracing.ts';

/** The only window that OpenAI offers. */
const BATCH_WINDOW_SECONDS = 24 * 60 * 60;

/** As with OpenAI. */
const MOST_BATCH_LINES = 50_000;

/** A few hundred bytes each. */
const MOST_LINES_IN_MEMORY = 500_000;

/** Least time for answers that were cut at the end of the drain to reach their clients. */
const LAST_BYTES_MILLISECONDS = 1000;

/** A server that takes requests. */
export interface RunningServer {
  readonly url: string;
  /** Fails readiness at once, lets requests finish within the drain time, then stops everything. */
  stop(): Promise<void>;
}

/**
 * Listens, starts the engine with the adapters, and resolves when the first request can be answered.
 * @param say takes lines for the person who started the server
 * @throws ListenError, EngineError, AdapterError: with messages for that person
 */
export async function serve(live: LiveConfig, say: (line: string) => void): Promise<RunningServer> {
  // As it is at the start; what may change later is asked of `live` each time.
  const config = live.current;
  const logger = createLogger(config.logLevel);
  for (const warning of unknownVariables(process.env)) logger.warn(warning);
  const metrics = new Metrics();
  const clock = new SteadyClock();
  const tracing = await tracingOf(config, logger);
  const genAiMetrics = await genAiMetricsOf(config, logger);
  const requests = new RecentRequests((record) => genAiMetrics?.measure(record));
  const inFlight = new InFlight({
    running: config.maxRunning,
    get queued() {
      return live.current.maxQueued;
    },
  });
  let backend: Backend = new StartingBackend(config.upstream === null ? 'engine' : 'upstream');
  const meter = new LiveMeter();
  const sampler = new LiveSampler({ backend: () => backend, inFlight, meter, clock });
  // Assigned below; the routes ask for it from then on.
  let adapters = null as StoreHost | null;
  const limits: PushLimits = {
    get maxBytes() {
      return live.current.adapterLimitBytes;
    },
    get maxRank() {
      return live.current.adapterLimitRank;
    },
  };
  // Where keys are not checked there is nothing to wait for.
  let authenticator: Authenticator | null =
    config.auth === 'off' ? new OpenAuthenticator(config.operatorKey) : null;
  let sessions = null as Sessions | null;
  let tenants = null as TenantsHost | null;
  let metadata = null as Database | null;
  let responses = null as ResponseStore | null;
  let cache = null as CacheHost | null;
  const secretKey = secretKeyOf(config);
  /** What has been opened, to be closed in the other direction. */
  const opened: (() => Promise<void> | void)[] = [];
  const notOpen = (): null => {
    if (config.upstream === null) return null;
    throw new ApiError(
      'adapters_elsewhere',
      'The answers come from another server, which has the adapters. Manage them there.',
    );
  };
  const storeDirectory = config.store ?? join(config.home, 'store');
  const dataDirectory = config.dataDirectory ?? join(config.home, 'data');
  const batches = new BatchHost({
    directory: dataDirectory,
    backend: () => backend,
    // A line may be as large as any request: what runs at once is bounded by the concurrency.
    inFlight: new InFlight({
      get running() {
        const { maxRunning, maxQueued, batchConcurrency } = live.current;
        return Math.max(maxRunning + maxQueued, batchConcurrency);
      },
      queued: 0,
    }),
    access: (tenant, key) => accessOfWork(config, tenants, tenant, key),
    // Nobody waits for it: it has no limits per minute.
    reserve: (access, asked) => tenants?.admission.reserve(access, asked, false) ?? UNLIMITED,
    metrics,
    live: meter,
    logger,
    clock,
    get concurrency() {
      return live.current.batchConcurrency;
    },
    completionWindowSeconds: BATCH_WINDOW_SECONDS,
    maxLines: MOST_BATCH_LINES,
    get maxLineBytes() {
      return live.current.requestBodyLimitBytes;
    },
    maxLinesInMemory: MOST_LINES_IN_MEMORY,
  });
  const app = createApp({
    backend: () => backend,
    inFlight,
    metrics,
    live: { meter, sampler, room: new LiveRoom() },
    requests,
    tracing,
    logger,
    get requestBodyLimitBytes() {
      return live.current.requestBodyLimitBytes;
    },
    get allowPriority() {
      return live.current.allowPriority === 'yes';
    },
    responses: () => responses,
    cache: () => cache,
    cacheMode: config.cache,
    clock,
    batches: () => batches.service,
    get fileLimitBytes() {
      return live.current.fileLimitBytes;
    },
    get fileStorageLimitBytes() {
      return live.current.fileStorageLimitBytes;
    },
    authenticator: () => authenticator,
    sessions: () => sessions,
    proxies: new Proxies(addressesOf(config.trustedProxies)),
    dashboard: new Dashboard(),
    tenants: () => tenants,
    database: () => metadata,
    checksKeys: config.auth === 'keys',
    corsOrigins: config.corsOrigins === null ? [] : config.corsOrigins.split(','),
    get logPrompts() {
      return live.current.logPrompts === 'yes';
    },
    openMetrics: config.metricsAccess === 'open',
    runtimeLora:
      config.runtimeLoraRoot === null
        ? null
        : {
            backend: () => backend,
            store: () => adapters?.store ?? notOpen(),
            root: config.runtimeLoraRoot,
            limits,
          },
    adminAdapters: {
      store: () => adapters?.store ?? notOpen(),
      uploads: () => adapters?.uploads ?? notOpen(),
      staging: stagingOf(storeDirectory),
      limits,
    },
    imports: () => adapters?.imports ?? notOpen(),
    secrets: () => adapters?.secrets ?? notOpen(),
  });
  // Before the engine starts: a port in use is known at once, and probes are answered meanwhile.
  const server = createHttpServer(app.fetch);
  const port = await listen(server, config.host, config.port);
  batches.start();
  const closeAll = async () => {
    await batches.stop();
    for (let close = opened.pop(); close !== undefined; close = opened.pop()) await close();
    await Promise.all([tracing?.close(), genAiMetrics?.close()]);
  };
  const encoder = createEncoder(config, logger, say);
  try {
    if (encoder !== null) opened.push(() => encoder.embedder.close());
    // Without a key there is nobody who could sign in.
    if (config.auth === 'keys' || config.operatorKey !== null)
      sessions = new Sessions(await secretKey(), () => clock.now());
    if (config.embeddingStart === 'start') await encoder?.embedder.load();
    const database = await openDatabase(config.database ?? join(storeDirectory, 'polylora.db'));
    opened.push(() => database.destroy());
    metadata = database;
    const responseLimits = {
      get bytesPerTenant() {
        return live.current.responseStorageBytes;
      },
      get seconds() {
        return live.current.responseSeconds;
      },
    };
    const stored = await ResponseStore.open({ database, limits: responseLimits, clock, logger });
    opened.push(() => stored.close());
    responses = stored;
    if (config.auth === 'keys') {
      const secret = await secretKey();
      const host = await openTenants({
        ...{ database, secret, redis: config.redis, clock, logger },
        onCharged: (tenant, money) => metrics.countSpend(tenant, money / NANOS),
      });
      opened.push(() => host.close());
      tenants = host;
      metrics.setBudgets(() => host.admission.budgetShares());
      host.prices.configure(live.current.prices);
      live.onReload((reload) => {
        if (reload.kind === 'applied') host.prices.configure(reload.config.prices);
      });
      if (config.redis === null && isPostgres(database)) {
        logger.warn(
          'limits and budgets are counted by each server for itself: where several use this database, give all of them the same --redis, or they let in more together than one would',
        );
      }
      authenticator = new KeyAuthenticator(host.hasher, host.registry, config.operatorKey);
    }
    const { upstream: url, upstreamKey: key } = config;
    let started: Backend;
    if (url !== null) {
      const secret = await secretKey();
      started = await startUpstream({ ...config, url, key, secret, logger, say });
    } else {
      const otherNames = encoder === null ? [] : [encoder.name];
      const embedded = await startEmbedded({
        ...{ live, storeDirectory, database, secretKey, otherNames, limits, clock, logger, say },
        onLoadFailure: () => metrics.countAdapterLoadFailure(),
      });
      ({ backend: started, adapters } = embedded);
      opened.push(() => embedded.adapters.close());
    }
    opened.push(() => started.close());
    const hasEncoder = encoder !== null && url === null;
    backend = new GrantedBackend(hasEncoder ? new EncoderBackend(started, encoder) : started);
    if (config.cache !== 'off') {
      const embedder = encoder?.embedder ?? null;
      const opening = await openCache({
        ...{ live, embedder, dataDirectory, database, clock, logger },
        metrics: metrics.cache,
        backend: () => backend,
      });
      opened.push(() => opening.close());
      metrics.setCache(opening);
      cache = opening;
    }
  } catch (error) {
    await closeServer(server, 0);
    await closeAll();
    throw error;
  }
  if (encoder !== null) metrics.setEncoder(() => encoder.embedder.stats());
  metrics.watchProcess(backend.computer, { models: config.home, store: storeDirectory, data: dataDirectory });
  metrics.setModel(backend.base?.id ?? '', config.maxBatchAdapters ?? config.maxRunning);
  const url = localUrl(config.host, port);
  const models = await backend.models(OPERATOR);
  if (config.auth === 'off') {
    logger.warn(
      { host: config.host },
      'keys are not checked: whoever reaches this address may use the server',
    );
  }
  // Beside its making: it is shown once, and what is made and not shown is of no use to anybody.
  const first = config.operatorKey === null ? ((await tenants?.keys.createFirst('start')) ?? null) : null;
  const checksKeys = config.auth === 'keys';
  const hasDashboard = checksKeys || config.operatorKey !== null;
  say(readyBanner(url, models, { checksKeys, hasDashboard, firstKey: first?.text ?? null }));
  logger.info({ url, models: models.map(({ id }) => id) }, 'ready');
  live.onReload((reload) => reloaded(reload, logger, metrics));
  await live.watch();

  const stop = async () => {
    logger.info('stopping');
    live.close();
    requests.close();
    const { drainSeconds } = live.current;
    const deadline = performance.now() + drainSeconds * 1000;
    // Nobody waits for a batch's lines: they make way for requests that somebody waits for.
    await batches.giveUp();
    await inFlight.drain(drainSeconds);
    // They would go on for as long as anybody looks.
    sampler.close();
    // The last bytes of the answers may still be on their way.
    await closeServer(server, Math.max(deadline - performance.now(), LAST_BYTES_MILLISECONDS));
    // Last, because uploads may have run until now.
    await closeAll();
    logger.info('stopped');
  };
  return { url, stop };
}

/** What makes traces, where the configuration wants them: else the SDK for it is not even loaded. */
async function tracingOf(config: Config, logger: Logger): Promise<Tracing | null> {
  const { tracesEndpoint: endpoint, tracesHeaders: headers, tracesSampleRatio: ratio, upstream } = config;
  if (endpoint === null) return null;
  const { openOtlpTracing } = await import('./tracing/otlp.ts');
  return openOtlpTracing({ endpoint, headers, ratio, upstream, logger });
}

/** What sends OpenTelemetry's metrics of models, where the configuration wants that. */
async function genAiMetricsOf(config: Config, logger: Logger): Promise<GenAiMetrics | null> {
  const { otlpMetricsEndpoint: endpoint, otlpMetricsHeaders: headers } = config;
  if (endpoint === null) return null;
  const { openOtlpMetrics } = await import('./tracing/otlp-metrics.ts');
  return openOtlpMetrics({ endpoint, headers, logger });
}

/** Who work that goes on without its request is from. @throws ApiError where its key does not hold any more */
async function accessOfWork(
  { auth }: Config,
  tenants: TenantsHost | null,
  tenant: string,
  key: string | null,
): Promise<Access> {
  if (auth === 'off') return { principal: { tenant, key }, role: 'user', tenant: null, key: null };
  if (key === null && tenant === OPERATOR.tenant) return OPERATOR_ACCESS;
  const access = (await tenants?.registry.stillValid({ tenant, key })) ?? null;
  if (access === null)
    throw new ApiError('invalid_api_key', 'The key that this was asked for with does not hold any more.');
  return access;
}

/** The server's secret: of the configuration, or in a file that is made when it is first asked for. */
function secretKeyOf({ secretKey, home }: Config): () => Promise<Buffer> {
  const given = secretKey === null ? null : parseSecretKey(secretKey);
  return async () => given ?? readSecretKey(join(home, 'secret.key'));
}

/** Tells of a configuration that was read again, and gives the parts that keep a value of their own the new one. */
function reloaded(reload: Reload, logger: Logger, metrics: Metrics): void {
  metrics.countConfigReload(reload.kind);
  if (reload.kind === 'refused') {
    logger.error(
      { reason: reload.reason.message },
      'the configuration stays as it is: the new one is not valid',
    );
    return;
  }
  const { config, changed, waiting } = reload;
  logger.level = config.logLevel;
  logger.info(
    { changed, ...(waiting.length === 0 ? {} : { takenAtNextStart: waiting }) },
    'configuration reloaded',
  );
}
