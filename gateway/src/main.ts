import { basename, join } from 'node:path';
import {
  AdapterDirectory,
  type AdaptersStore,
  type BaseModelShape,
  type Database,
  openDatabase,
  type PushLimits,
  readSecretKey,
} from '@polylora/adapters-store';
import { parseSecretKey } from '@polylora/adapters-store/options';
import {
  createEmbedder,
  type Engine,
  EngineError,
  type EngineProcess,
  projectionShape,
  startEngineProcess,
} from '@polylora/engine';
import { Registry } from 'prom-client';
import { type Access, OPERATOR, OPERATOR_ACCESS } from './access/access.ts';
import { type Authenticator, KeyAuthenticator, OpenAuthenticator } from './access/authenticator.ts';
import { CombinedCatalog } from './adapters/catalog.ts';
import { DirectoryCatalog } from './adapters/directory-catalog.ts';
import { StoreCatalog } from './adapters/store-catalog.ts';
import { openStore, type StoreHost, stagingOf } from './adapters/store-host.ts';
import { UNLIMITED } from './admission/admission.ts';
import { createApp } from './app.ts';
import type { Backend } from './backends/backend.ts';
import { EmbeddedBackend } from './backends/embedded.ts';
import { EncoderBackend, type EncoderOptions } from './backends/encoder.ts';
import { GrantedBackend } from './backends/granted.ts';
import { StartingBackend } from './backends/starting.ts';
import { startUpstream } from './backends/upstream/start.ts';
import { localUrl, readyBanner } from './banner.ts';
import { BatchHost } from './batches/batch-host.ts';
import type { LiveConfig, Reload } from './config/live-config.ts';
import { type Config, hostsOf } from './config/schema.ts';
import { ApiError } from './errors.ts';
import { InFlight } from './in-flight.ts';
import { createLogger, type Logger } from './logging.ts';
import { Metrics } from './metrics.ts';
import { ResponseStore } from './responses/response-store.ts';
import { closeServer, createHttpServer, listen } from './server.ts';
import { openTenants, type TenantsHost } from './tenants/tenants-host.ts';

/** The only window that OpenAI offers. */
const BATCH_WINDOW_SECONDS = 24 * 60 * 60;

/** What `embeddingModel` says where there is to be none. */
const NO_MODEL = 'none';

/** As with OpenAI. */
const MOST_BATCH_LINES = 50_000;

/** A few hundred bytes each. */
const MOST_LINES_IN_MEMORY = 500_000;

/** Adapters that the engine is told of before anybody asks for them. */
const MOST_TOLD_AT_START = 100;

/** Names that the admin API's paths mean something else by. */
const PATHS: ReadonlySet<string> = new Set(['imports']);

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
  const metrics = new Metrics(new Registry());
  const inFlight = new InFlight({
    running: config.maxRunning,
    get queued() {
      return live.current.maxQueued;
    },
  });
  let backend: Backend = new StartingBackend();
  // Assigned below; the routes ask for it from then on.
  let adapters = null as StoreHost | null;
  let directory = null as DirectoryCatalog | null;
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
  let database = null as Database | null;
  let tenants = null as TenantsHost | null;
  let responses = null as ResponseStore | null;
  const secretKey = secretKeyOf(config);
  const notOpen = (): null => {
    if (config.upstream === null) return null;
    throw new ApiError(
      'adapters_elsewhere',
      'The answers come from another server, which has the adapters. Manage them there.',
    );
  };
  const storeDirectory = config.store ?? join(config.home, 'store');
  const batches = new BatchHost({
    directory: config.dataDirectory ?? join(config.home, 'data'),
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
    logger,
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
    logger,
    get requestBodyLimitBytes() {
      return live.current.requestBodyLimitBytes;
    },
    get allowPriority() {
      return live.current.allowPriority === 'yes';
    },
    responses: () => responses,
    batches: () => batches.service,
    get fileLimitBytes() {
      return live.current.fileLimitBytes;
    },
    get fileStorageLimitBytes() {
      return live.current.fileStorageLimitBytes;
    },
    authenticator: () => authenticator,
    tenants: () => tenants,
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
  const startEmbedded = async (metadata: Database): Promise<Backend> => {
    const engine = await startEngine(config, logger, say);
    try {
      const servedModelName = config.servedModelName ?? engine.model.name;
      const reserved = new Set([
        ...EmbeddedBackend.reservedNames(servedModelName),
        ...(encoder === null ? [] : [encoder.name]),
      ]);
      adapters = await openStore({
        directory: storeDirectory,
        database: metadata,
        blobs: {
          location: config.blobs,
          cacheBytes: config.blobCacheBytes,
          s3Endpoint: config.s3Endpoint,
          s3Region: config.s3Region,
        },
        imports: {
          hubUrl: config.hubUrl,
          hosts: hostsOf(config.importHosts),
          hubToken: () => live.current.hubToken,
          secretKey,
        },
        graceSeconds: config.adapterGraceSeconds,
        // The directory's adapters come first: one that was pushed under such a name would never be found.
        isReserved: (name) => reserved.has(name) || PATHS.has(name) || (directory?.has(name) ?? false),
        model: { digest: engine.model.sourceDigest, ...shapeOf(engine) },
        limits,
        mostUploads: {
          get uploads() {
            return live.current.maxAdapterUploads;
          },
          get bytes() {
            return live.current.maxAdapterUploadBytes;
          },
        },
        logger,
      });
      directory = await openDirectory(config, engine, reserved, adapters.store, logger, say);
      return await startBackend(engine, servedModelName, directory, adapters.store);
    } catch (error) {
      await engine.close();
      throw error;
    }
  };
  const encoder = createEncoder(config, logger, say);
  try {
    if (config.embeddingStart === 'start') await encoder?.embedder.load();
    const metadata = async () => {
      database ??= await openDatabase(config.database ?? join(storeDirectory, 'polylora.db'));
      return database;
    };
    const responseLimits = {
      get bytesPerTenant() {
        return live.current.responseStorageBytes;
      },
      get seconds() {
        return live.current.responseSeconds;
      },
    };
    responses = await ResponseStore.open(await metadata(), responseLimits, logger);
    if (config.auth === 'keys') {
      tenants = await openTenants({
        database: await metadata(),
        secret: await secretKey(),
        redis: config.redis,
        logger,
      });
      authenticator = new KeyAuthenticator(tenants.hasher, tenants.registry, config.operatorKey);
    }
    const { upstream: url, upstreamKey: key } = config;
    const started =
      url === null
        ? await startEmbedded(await metadata())
        : await startUpstream({ ...config, url, key, logger, say });
    backend = new GrantedBackend(encoder === null ? started : new EncoderBackend(started, encoder));
  } catch (error) {
    await encoder?.embedder.close();
    await adapters?.close();
    await batches.stop();
    await closeServer(server, 0);
    responses?.close();
    await tenants?.close();
    await database?.destroy();
    throw error;
  }
  if (encoder !== null) metrics.setEncoder(() => encoder.embedder.stats());
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
  say(readyBanner(url, models, { checksKeys: config.auth === 'keys', firstKey: first?.text ?? null }));
  logger.info({ url, models: models.map(({ id }) => id) }, 'ready');
  live.onReload((reload) => reloaded(reload, logger, metrics));
  await live.watch();

  const stop = async () => {
    logger.info('stopping');
    live.close();
    const { drainSeconds } = live.current;
    const deadline = performance.now() + drainSeconds * 1000;
    // Nobody waits for a batch's lines: they make way for requests that somebody waits for.
    await batches.giveUp();
    await inFlight.drain(drainSeconds);
    // The last bytes of the answers may still be on their way.
    await closeServer(server, Math.max(deadline - performance.now(), LAST_BYTES_MILLISECONDS));
    // Last, because uploads may have run until now.
    await batches.stop();
    await backend.close();
    await adapters?.close();
    responses?.close();
    await tenants?.close();
    await database?.destroy();
    logger.info('stopped');
  };
  return { url, stop };
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

/** The embedding model, which is loaded when it is first needed unless the configuration says otherwise; null: there is none. */
function createEncoder(config: Config, logger: Logger, say: (line: string) => void): EncoderOptions | null {
  const { embeddingModel: model, embeddingWeights: weights, embeddingThreads: threads } = config;
  if (model === NO_MODEL) return null;
  const { home, hubToken } = config;
  // The person at the terminal waits for it at the start; later it is an event like others.
  const onProgress =
    config.embeddingStart === 'start' ? say : (line: string) => logger.info({ embeddingModel: model }, line);
  const embedder = createEmbedder({ model, home, hubToken, weights, threads, onProgress });
  const name = basename(model).replace(/@.*$/, '');
  return { embedder, name, startedAt: Math.floor(Date.now() / 1000), logger };
}

async function startEngine(
  config: Config,
  logger: Logger,
  say: (line: string) => void,
): Promise<EngineProcess> {
  const { model, home, hubToken, weights, loraDtype, kvCacheDtype } = config;
  const { threads, maxModelLen, poolMegabytes, maxBatchTokens, maxRunning } = config;
  const { maxBatchAdapters, tpotTargetMs, prefixCache, speculation } = config;
  return startEngineProcess({
    model,
    home,
    hubToken,
    weights,
    loraDtype,
    kvCacheDtype,
    threads,
    maxModelLen,
    poolBytes: poolMegabytes === null ? null : poolMegabytes * 1024 * 1024,
    maxBatchTokens,
    maxRunning,
    maxBatchAdapters,
    tpotTargetMs,
    prefixCache,
    speculation,
    adapterPoolShare: null,
    onProgress: say,
    onRestart: (reason) => logger.error({ reason }, 'engine restarts'),
  });
}

/** The operator's own adapters, those that fit the model; null: there are none. */
async function openDirectory(
  config: Config,
  engine: Engine,
  reserved: ReadonlySet<string>,
  store: AdaptersStore,
  logger: Logger,
  say: (line: string) => void,
): Promise<DirectoryCatalog | null> {
  if (config.adapters === null) return null;
  return DirectoryCatalog.open({
    directory: new AdapterDirectory(config.adapters, shapeOf(engine)),
    store,
    reserved,
    onRefused: (message) => say(`Adapter refused: ${message}`),
    onChange: (name, change) => logger.info({ adapter: name, change }, 'an adapter of the directory'),
  });
}

/** The engine with the directory's adapters and the store's. */
async function startBackend(
  engine: EngineProcess,
  servedModelName: string,
  directory: DirectoryCatalog | null,
  store: AdaptersStore,
): Promise<Backend> {
  const catalogs = [...(directory === null ? [] : [directory]), new StoreCatalog(store)];
  const backend = new EmbeddedBackend({
    engine,
    catalog: new CombinedCatalog(catalogs),
    servedModelName,
    startedAt: Math.floor(Date.now() / 1000),
  });
  const unload = (digest: string) => void backend.unload(digest).catch(() => {});
  store.onRemoved(unload);
  // Told now what cannot be served, rather than by the first who asks; of thousands that would take too long.
  const first = ((await directory?.list()) ?? []).slice(0, MOST_TOLD_AT_START);
  for (const { name, digest } of first) {
    try {
      await backend.load(digest);
    } catch (error) {
      if (!(error instanceof EngineError) || !engine.ready) throw error;
      directory?.refuse(name, digest, error.message);
    }
  }
  directory?.watch(unload);
  return backend;
}

/** What an adapter must fit. */
function shapeOf({ model }: Engine): BaseModelShape {
  return { layerCount: model.layerCount, projection: (module) => projectionShape(model, module) };
}
