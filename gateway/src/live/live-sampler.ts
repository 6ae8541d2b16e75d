import type { Backend, BackendStats } from '../backends/backend.ts';
import { ApiError } from '../errors.ts';
import type { InFlight } from '../in-flight.ts';
import type { SteadyClock } from '../steady-clock.ts';
import type { Activity } from './activity.ts';
import type { LiveMeter } from './live-meter.ts';
import { LiveView } from './live-view.ts';
import { type Moment, type Snapshot, snapshotOf, tenantSnapshotOf } from './snapshot.ts';

const INTERVAL_MILLISECONDS = 1000;
/** Snapshots that are remembered, one a second. */
const MOST_REMEMBERED = 300;
/** Tenants that are remembered, beyond those that somebody looks at. */
const MOST_TENANTS = 100;

export interface LiveSamplerOptions {
  readonly backend: () => Backend;
  readonly inFlight: InFlight;
  readonly meter: LiveMeter;
  readonly clock: Pick<SteadyClock, 'now'>;
}

/** What is seen of the server: all of it, or a tenant's part. */
interface Audience {
  readonly activity: Activity;
  readonly snapshot: (moment: Moment, activity: Activity, seconds: number) => Snapshot;
  /** The oldest first. */
  readonly history: Snapshot[];
  readonly views: Map<LiveView, () => void>;
  /** Snapshots since somebody looked. */
  unseen: number;
}

/**
 * Takes a snapshot each second, and gives it to all who look. Of the whole server five minutes are remembered, so that who comes
 * sees how it came; of a tenant, from when its administrator first looked until five minutes after nobody does.
 *
 * The engine is asked once a second, and not at all while it has nothing to do and nobody looks.
 */
export class LiveSampler {
  readonly #options: LiveSamplerOptions;
  readonly #everyone: Audience;
  readonly #tenants = new Map<string, Audience>();
  readonly #timer: NodeJS.Timeout;
  #turnedAt = performance.now();
  #views = 0;
  #isAsking = false;
  #stats: BackendStats | null | undefined;
  #closed = false;

  constructor(options: LiveSamplerOptions) {
    this.#options = options;
    this.#everyone = audience(options.meter.everyone, (moment, activity, seconds) =>
      snapshotOf(moment, activity.turn(seconds)),
    );
    this.#timer = setInterval(() => this.#tick(), INTERVAL_MILLISECONDS).unref();
  }

  /** @throws ApiError shutting_down */
  assertOpen(): void {
    if (this.#closed) throw new ApiError('shutting_down', 'The server is shutting down.');
  }

  /**
   * Looks at the server from now on, until the view is ended.
   * @param tenant whose part; null: all of it
   * @param onStuck told where nothing is taken any more: the view has ended, and its connection is to be closed
   * @throws as above
   */
  open(
    tenant: string | null,
    onStuck: () => void,
  ): { readonly history: readonly Snapshot[]; readonly view: LiveView } {
    this.assertOpen();
    const seen = tenant === null ? this.#everyone : this.#audienceOf(tenant);
    const view = new LiveView(() => {
      seen.views.delete(view);
      this.#views--;
    });
    seen.views.set(view, onStuck);
    seen.unseen = 0;
    this.#views++;
    return { history: [...seen.history], view };
  }

  /** Ends all views. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    for (const { views } of [this.#everyone, ...this.#tenants.values()]) {
      for (const [view, onStuck] of [...views]) {
        view.end();
        // It would not read that this is the end, either.
        if (view.isBehind) onStuck();
      }
    }
  }

  #audienceOf(tenant: string): Audience {
    const known = this.#tenants.get(tenant);
    if (known !== undefined) return known;
    const made = audience(this.#options.meter.watch(tenant), (moment, activity, seconds) =>
      tenantSnapshotOf(moment, tenant, activity.turn(seconds)),
    );
    this.#tenants.set(tenant, made);
    // Those that nobody looks at make room for one that somebody does.
    for (const [other, { views }] of this.#tenants) {
      if (this.#tenants.size <= MOST_TENANTS) break;
      if (views.size === 0 && other !== tenant) this.#forget(other);
    }
    return made;
  }

  #forget(tenant: string): void {
    this.#tenants.delete(tenant);
    this.#options.meter.forget(tenant);
  }

  #tick(): void {
    const backend = this.#options.backend();
    if (this.#isAsking || !backend.ready) {
      // What it was asked a second ago is not answered yet, or it cannot be asked.
      this.#stats = undefined;
      this.#publish();
      return;
    }
    if (this.#isResting) {
      this.#publish();
      return;
    }
    this.#isAsking = true;
    let isLate = false;
    const late = setTimeout(() => {
      isLate = true;
    }, INTERVAL_MILLISECONDS - 1).unref();
    void backend
      .stats()
      .catch(() => undefined)
      .then((stats) => {
        clearTimeout(late);
        this.#isAsking = false;
        if (isLate || this.#closed) return;
        this.#stats = stats;
        this.#publish();
      });
  }

  /** Whether the engine would say the same as before, and nobody would know if it did not. */
  get #isResting(): boolean {
    const { inFlight, meter } = this.#options;
    if (this.#views > 0 || inFlight.sequences > 0 || !meter.everyone.isQuiet) return false;
    return this.#stats != null && this.#stats.running === 0 && this.#stats.waiting === 0;
  }

  #publish(): void {
    const { inFlight, clock } = this.#options;
    const backend = this.#options.backend();
    const now = performance.now();
    const seconds = Math.max(0.001, (now - this.#turnedAt) / 1000);
    this.#turnedAt = now;
    const moment = { at: clock.now(), backend, inFlight, stats: this.#stats };
    this.#publishTo(this.#everyone, moment, seconds);
    for (const [tenant, each] of [...this.#tenants]) {
      this.#publishTo(each, moment, seconds);
      each.unseen = each.views.size === 0 ? each.unseen + 1 : 0;
      if (each.unseen >= MOST_REMEMBERED) this.#forget(tenant);
    }
  }

  #publishTo({ activity, snapshot, history, views }: Audience, moment: Moment, seconds: number): void {
    const taken = snapshot(moment, activity, seconds);
    history.push(taken);
    if (history.length > MOST_REMEMBERED) history.shift();
    for (const [view, onStuck] of [...views]) {
      if (view.push(taken)) continue;
      view.end();
      onStuck();
    }
  }
}

function audience(activity: Activity, snapshot: Audience['snapshot']): Audience {
  return { activity, snapshot, history: [], views: new Map(), unseen: 0 };
}
