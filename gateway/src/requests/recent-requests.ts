import { randomBytes } from 'node:crypto';
import { Ring } from '../ring.ts';
import { RequestRecord, type RequestState } from './request-record.ts';
import { RequestWatch, type Watcher } from './request-watch.ts';

/** Which requests are asked for; null: whatever it is. */
export interface RequestFilter {
  readonly tenant: string | null;
  readonly model: string | null;
  readonly state: RequestState | null;
  readonly route: string | null;
}

/** Requests that have ended and are still told of. */
const MOST_ENDED = 1_000;
/** Of those whose sender was not let in: anybody can send them, and they push out none of the others. */
const MOST_REFUSED = 100;

/** What tells the ids of a process from those of the one before, which began to count at 1 as well. */
const PROCESS_BYTES = 3;
const ID = /^r([\da-f]{6})-(\d{1,15})$/;

/** The requests of this server that run, and the last that have ended. In memory: what it has told is gone with the process. */
export class RecentRequests {
  readonly #running = new Set<RequestRecord>();
  /** The last that have ended. */
  readonly #ended = new Ring<RequestRecord>(MOST_ENDED);
  /** Of nobody who is known. */
  readonly #refused = new Ring<RequestRecord>(MOST_REFUSED);
  readonly #process = randomBytes(PROCESS_BYTES).toString('hex');
  #count = 0;
  readonly #watches = new Set<RequestWatch>();
  #isClosed = false;
  readonly #measure: (record: RequestRecord) => void;

  /** @param measure told of each that has ended */
  constructor(measure: (record: RequestRecord) => void = () => {}) {
    this.#measure = measure;
  }

  /** A request came; it is told of once it is read, or has ended. */
  arrive(arrival: {
    readonly requestId: string;
    readonly at: number;
    readonly arrived: number;
    readonly method: string;
    readonly route: string;
  }): RequestRecord {
    this.#count += 1;
    return new RequestRecord({ id: `r${this.#process}-${this.#count}`, number: this.#count, ...arrival });
  }

  /** A request was read, and is worked on. */
  begin(record: RequestRecord): void {
    this.#running.add(record);
    this.#tell(record);
  }

  /** A request has ended. One of which nobody knows whose it is, is for those to see who see all. */
  end(record: RequestRecord): void {
    this.#running.delete(record);
    record.end();
    this.#measure(record);
    (record.tenant === null ? this.#refused : this.#ended).push(record);
    this.#tell(record);
  }

  /** The number of the request of this id; null: it is none of this process. */
  numberOf(id: string): number | null {
    const [, process, number] = ID.exec(id) ?? [];
    return process === this.#process ? Number(number) : null;
  }

  /** The newest first. @param before only those that came before the one of this number */
  list(filter: RequestFilter, limit: number, before: number | null): RequestRecord[] {
    const found = [...this.#running, ...this.#ended.newest(), ...this.#refused.newest()].filter(
      (record) => matches(record, filter) && (before === null || record.number < before),
    );
    return found.sort((a, b) => b.number - a.number).slice(0, limit);
  }

  /**
   * Requests as they begin and end, from now on.
   * @param tenant whose; null: all tenants'
   */
  watch(tenant: string | null, watcher: Watcher): RequestWatch {
    const watch = new RequestWatch({ ...watcher, tenant, onClose: () => this.#watches.delete(watch) });
    if (this.#isClosed) watch.close();
    else this.#watches.add(watch);
    return watch;
  }

  /** Ends all who watch: the server stops. */
  close(): void {
    this.#isClosed = true;
    for (const watch of this.#watches) watch.close();
  }

  #tell(record: RequestRecord): void {
    for (const watch of this.#watches) watch.see(record);
  }
}

function matches(record: RequestRecord, { tenant, model, state, route }: RequestFilter): boolean {
  return (
    (tenant === null || record.tenant === tenant) &&
    (model === null || record.model === model) &&
    (state === null || record.state === state) &&
    (route === null || record.route === route)
  );
}
