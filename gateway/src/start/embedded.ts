import {
  AdapterDirectory,
  type AdaptersStore,
  type BaseModelShape,
  type Database,
  type PushLimits,
} from '@polylora/adapters-store';
import {
  type Engine,
  EngineError,
  type EngineProcess,
  projectionShape,
  startEngineProcess,
} from '@polylora/engine';
import { CombinedCatalog } from '../adapters/catalog.ts';
import { DirectoryCatalog } from '../adapters/directory-catalog.ts';
import { StoreCatalog } from '../adapters/store-catalog.ts';
import { openStore, type StoreHost } from '../adapters/store-host.ts';
import type { Backend } from '../backends/backend.ts';
import { EmbeddedBackend } from '../backends/embedded.ts';
import type { LiveConfig } from '../config/live-config.ts';
import { type Config, hostsOf } from '../config/schema.ts';
import type { Logger } from '../logging.ts';
import type { SteadyClock } from '../steady-clock.ts';

/** Adapters that the engine is told of before anybody asks for them. */
const MOST_TOLD_AT_START = 100;

/** Names that the admin API's paths mean something else by. */
const PATHS: ReadonlySet<string> = new Set(['imports']);

export interface EmbeddedOptions {
  readonly live: LiveConfig;
  readonly storeDirectory: string;
  readonly database: Database;
  readonly secretKey: () => Promise<Buffer>;
  /** Names of models beside the engine's. */
  readonly otherNames: readonly string[];
  readonly limits: PushLimits;
  readonly clock: SteadyClock;
  readonly logger: Logger;
  /** Told of each adapter that cannot be loaded. */
  readonly onLoadFailure: () => void;
  /** Takes lines for the person who started the server. */
  readonly say: (line: string) => void;
}

/** The engine on this machine, and the store that its adapters come from. */
export interface Embedded {
  readonly backend: Backend;
  readonly adapters: StoreHost;
}

/**
 * Starts the engine with the adapters of the store and of the operator's directory.
 * @throws EngineError, AdapterError: with messages for the person who started the server
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  const { live, storeDirectory, database, secretKey, limits, clock, logger, onLoadFailure, say } = options;
  const config = live.current;
  const engine = await startEngine(config, logger, say);
  let adapters: StoreHost | null = null;
  // Assigned below; the store asks for it from then on.
  let directory = null as DirectoryCatalog | null;
  try {
    const servedModelName = config.servedModelName ?? engine.model.name;
    const reserved = new Set([...EmbeddedBackend.reservedNames(servedModelName), ...options.otherNames]);
    adapters = await openStore({
      directory: storeDirectory,
      database,
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
      clock,
      logger,
    });
    directory = await openDirectory(config, engine, reserved, adapters.store, logger, say);
    const backend = await startBackend(engine, servedModelName, directory, adapters.store, onLoadFailure);
    return { backend, adapters };
  } catch (error) {
    await adapters?.close();
    await engine.close();
    throw error;
  }
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
  onLoadFailure: () => void,
): Promise<Backend> {
  const catalogs = [...(directory === null ? [] : [directory]), new StoreCatalog(store)];
  const backend = new EmbeddedBackend({
    engine,
    catalog: new CombinedCatalog(catalogs),
    servedModelName,
    startedAt: Math.floor(Date.now() / 1000),
    onLoadFailure,
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
