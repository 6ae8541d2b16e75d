import type { Backend, BackendStats } from '../backends/backend.ts';
import type { InFlight } from '../in-flight.ts';
import type { Figures } from './activity.ts';

/** Tenants that a snapshot tells of: those with the most sequences. */
const MOST_TENANTS = 20;

interface TenantFigures {
  readonly tenant: string;
  /** Those that run or wait. */
  readonly sequences: number;
  /** Those that run. */
  readonly running: number;
  /** What it was charged for since the engine started, in tokens; null where another server computes, which does not tell. */
  readonly service: number | null;
  readonly weight: number;
}

/** How the server is in a second, as it is sent. */
export interface Snapshot extends Figures {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly ready: boolean;
  readonly running: number;
  readonly waiting: number;
  readonly in_flight: number;
  readonly pages: {
    readonly kv: number;
    readonly prefix: number;
    readonly adapter: number;
    readonly free: number;
    readonly total: number;
  } | null;
  readonly resident_adapters: number | null;
  readonly running_adapters: number | null;
  readonly tenants: readonly TenantFigures[];
}

/** What snapshots are made of. */
export interface Moment {
  readonly at: number;
  readonly backend: Pick<Backend, 'ready' | 'computer'>;
  readonly inFlight: InFlight;
  /** null where another server computes; undefined where the backend does not answer. */
  readonly stats: BackendStats | null | undefined;
}

export function snapshotOf(moment: Moment, figures: Figures): Snapshot {
  const { inFlight, stats } = moment;
  const tenants = tenantsOf(moment).sort((a, b) => b.sequences - a.sequences);
  return {
    ...headOf(moment),
    // Where another server computes, all that is in flight is its.
    running: stats?.running ?? (stats === null ? inFlight.sequences : 0),
    waiting: stats?.waiting ?? 0,
    in_flight: inFlight.sequences,
    pages: stats == null ? null : pagesOf(stats),
    resident_adapters: stats?.adapterCounts.resident ?? null,
    running_adapters: stats?.adapterCounts.running ?? null,
    ...figures,
    tenants: tenants.slice(0, MOST_TENANTS),
  };
}

/** Of a tenant alone: what the server holds, and others do, is not its to know. */
export function tenantSnapshotOf(moment: Moment, tenant: string, figures: Figures): Snapshot {
  const { inFlight, stats } = moment;
  const share = stats?.tenants.find((each) => each.tenant === tenant);
  const sequences = inFlight.sequencesOf(tenant);
  return {
    ...headOf(moment),
    running: share?.running ?? (stats === null ? sequences : 0),
    waiting: share === undefined ? 0 : share.live - share.running,
    in_flight: sequences,
    pages: null,
    resident_adapters: null,
    running_adapters: null,
    ...figures,
    tenants: tenantsOf(moment).filter((each) => each.tenant === tenant),
  };
}

function headOf({ at, backend, inFlight, stats }: Moment): Pick<Snapshot, 'at' | 'ready'> {
  return { at, ready: backend.ready && !inFlight.draining && stats !== undefined };
}

function tenantsOf({ inFlight, stats }: Moment): TenantFigures[] {
  if (stats == null) {
    return inFlight.tenants.map(({ tenant, sequences, weight }) => ({
      tenant,
      sequences,
      // Where another server computes, all that is in flight is its.
      running: stats === null ? sequences : 0,
      service: null,
      weight,
    }));
  }
  return stats.tenants.map(({ tenant, live, running, weight }) => ({
    tenant,
    sequences: live,
    running,
    service: stats.service.byTenant.get(tenant) ?? 0,
    weight,
  }));
}

function pagesOf(stats: BackendStats): NonNullable<Snapshot['pages']> {
  const { pagesKv: kv, pagesPrefix: prefix, pagesAdapter: adapter, pagesTotal: total } = stats;
  return { kv, prefix, adapter, free: total - kv - prefix - adapter, total };
}
