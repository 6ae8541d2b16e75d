import { type Database, migrateBeside } from '@polylora/adapters-store';
import { Admission } from '../admission/admission.ts';
import { MemoryCounters } from '../admission/memory-counters.ts';
import { RedisCounters } from '../admission/redis-counters.ts';
import { SpendLog, type Subject } from '../admission/spend-log.ts';
import type { Logger } from '../logging.ts';
import { SteadyClock } from '../steady-clock.ts';
import { TenantChanges } from './changes.ts';
import { KeyHasher } from './key-hash.ts';
import { Keys } from './keys.ts';
import { TENANT_MIGRATIONS } from './migrations.ts';
import { Prices } from './prices.ts';
import { Registry } from './registry.ts';
import { type TenantDatabase, withTenants } from './tables.ts';
import { OPERATOR_TENANT } from './tenant.ts';
import { Tenants } from './tenants.ts';

const RETRY_MILLISECONDS = 1_000;

/** Tenants and keys, open. */
export interface TenantsHost {
  readonly database: TenantDatabase;
  readonly registry: Registry;
  readonly hasher: KeyHasher;
  readonly clock: SteadyClock;
  readonly tenants: Tenants;
  readonly keys: Keys;
  readonly prices: Prices;
  readonly spend: SpendLog;
  readonly admission: Admission;
  close(): Promise<void>;
}

export interface TenantsHostOptions {
  readonly database: Database;
  /** What keys are hashed with is derived from it. */
  readonly secret: Buffer;
  /** What several gateways count in together; null: each counts by itself. */
  readonly redis?: string | null;
  readonly clock?: SteadyClock;
  readonly logger: Logger;
  /** Told of what a tenant was charged, in billionths of the currency's unit. */
  readonly onCharged?: (tenant: string, money: number) => void;
}

/** @throws MetadataError where the tables cannot be used */
export async function openTenants({
  database,
  secret,
  redis = null,
  clock = new SteadyClock(),
  logger,
  onCharged,
}: TenantsHostOptions): Promise<TenantsHost> {
  await migrateBeside(database, 'tenants', TENANT_MIGRATIONS);
  const tables = withTenants(database);
  const hasher = new KeyHasher(secret);
  const at = clock.now();
  const operator = {
    id: OPERATOR_TENANT,
    name: null,
    blocked: 0,
    models: '["*"]',
    limits: '{}',
    weight: 1,
    allow_priority: 1,
    metadata: '{}',
    created_at: at,
    updated_at: at,
    deleted_at: null,
  };
  await tables
    .insertInto('tenant')
    .values(operator)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const registry = await Registry.open({ database: tables, clock, logger });
  const changes = new TenantChanges(
    database,
    () => clock.now(),
    () => registry.refresh(),
  );
  const prices = new Prices(tables, changes);
  await prices.load();
  let isClosed = false;
  // Until it succeeds: nobody would ask for it again before the next change.
  const loadPrices = (): Promise<void> =>
    prices.load().catch((error: unknown) => {
      if (isClosed) return;
      logger.error({ err: error }, 'prices cannot be read');
      setTimeout(loadPrices, RETRY_MILLISECONDS).unref();
    });
  registry.onForgotten((subject) => {
    if (!subject.startsWith('price:')) return;
    void loadPrices();
  });
  const now = () => clock.now();
  const sums = (subject: Subject) => spend.sumsWithAll(subject);
  const memory = new MemoryCounters({ sums, now });
  const redisCounters =
    redis === null
      ? null
      : new RedisCounters({
          url: redis,
          prefix: `polylora:${hasher.hash('redis').slice(0, 12)}`,
          memory,
          now,
          logger,
        });
  const counters = redisCounters ?? memory;
  const spend: SpendLog = new SpendLog(tables, counters, now, logger);
  await redisCounters?.ready();
  return {
    database: tables,
    registry,
    hasher,
    clock,
    tenants: new Tenants(tables, changes),
    keys: new Keys(tables, changes, hasher),
    prices,
    spend,
    admission: new Admission({
      ...{ counters, spend, prices, now },
      ...(onCharged === undefined ? {} : { onCharged }),
      onUnpriced: (model) =>
        logger.warn(
          { model },
          'a budget of money holds, but the model has no price: what it is asked is not limited by it (set one: polylora tenants price)',
        ),
    }),
    async close() {
      isClosed = true;
      await spend.close();
      await counters.close();
      await registry.close();
    },
  };
}
