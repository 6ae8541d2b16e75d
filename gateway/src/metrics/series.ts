/**
 * Counters and histograms as they are counted here: prom-client's check and hash each set of labels anew, which took a fifth of what the
 * gateway does for a request. They are registered with prom-client like its own.
 */
import type { Sample } from './exposition.ts';

export type Labels = Readonly<Record<string, string>>;

/** What an exemplar says of where a value comes from. */
export interface Traced {
  readonly traceId: string;
  /** Seconds since 1970. */
  readonly at: number;
}

/** As of now. @param traceId null: there is no trace of it */
export function tracedAs(traceId: string | null): Traced | null {
  return traceId === null ? null : { traceId, at: Date.now() / 1000 };
}

export interface FamilyOptions {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
}

/** What all series of a metric have in common. */
abstract class Family<Series> {
  readonly name: string;
  readonly help: string;
  abstract readonly type: 'counter' | 'histogram';
  readonly aggregator = 'sum';
  readonly #labelNames: readonly string[];
  readonly #series = new Map<string, { readonly labels: Labels; readonly series: Series }>();
  /** Asked for last, by the very same labels: the model's are one object, and nobody's are changed. */
  #lastLabels: Labels | null = null;
  #lastSeries: Series | null = null;

  constructor({ name, help, labelNames }: FamilyOptions) {
    this.name = name;
    this.help = help;
    this.#labelNames = labelNames;
  }

  protected abstract make(): Series;
  protected abstract samples(labels: Labels, series: Series): Sample[];

  protected seriesOf(labels: Labels): Series {
    if (this.#lastLabels === labels && this.#lastSeries !== null) return this.#lastSeries;
    const key = this.#keyOf(labels);
    let found = this.#series.get(key);
    if (found === undefined) {
      found = { labels: { ...labels }, series: this.make() };
      this.#series.set(key, found);
    }
    this.#lastLabels = labels;
    this.#lastSeries = found.series;
    return found.series;
  }

  remove(labels: Labels): void {
    this.#lastLabels = null;
    this.#series.delete(this.#keyOf(labels));
  }

  /** As prom-client asks. */
  async get(): Promise<object> {
    const { name, help, type, aggregator } = this;
    const values = [...this.#series.values()].flatMap(({ labels, series }) => this.samples(labels, series));
    return { name, help, type, aggregator, values };
  }

  reset(): void {
    this.#lastLabels = null;
    this.#series.clear();
  }

  #keyOf(labels: Labels): string {
    const names = this.#labelNames;
    if (names.length === 0) return '';
    let key = labels[names[0]!] ?? '';
    for (let i = 1; i < names.length; i++) key += `\0${labels[names[i]!] ?? ''}`;
    return key;
  }
}

export class CounterFamily extends Family<{ value: number }> {
  readonly type = 'counter';

  constructor(options: FamilyOptions) {
    super(options);
    // What has no labels is there from the beginning.
    if (options.labelNames.length === 0) this.add({}, 0);
  }

  add(labels: Labels, value: number): void {
    this.seriesOf(labels).value += value;
  }

  protected make() {
    return { value: 0 };
  }

  protected samples(labels: Labels, { value }: { readonly value: number }): Sample[] {
    return [{ labels, value }];
  }
}

interface Counted {
  /** Of each bucket alone, the last without an upper end. */
  readonly counts: Float64Array;
  sum: number;
  /** By bucket; null where nobody wants them. */
  readonly exemplars: (Sample['exemplar'] | undefined)[] | null;
}

export class HistogramFamily extends Family<Counted> {
  readonly type = 'histogram';
  readonly #bounds: readonly number[];
  readonly #hasExemplars: boolean;

  /** @param bounds upper ends, ascending */
  constructor(options: FamilyOptions, bounds: readonly number[], hasExemplars: boolean) {
    super(options);
    this.#bounds = bounds;
    this.#hasExemplars = hasExemplars;
    if (options.labelNames.length === 0) this.seriesOf({});
  }

  /** @param trace of what was observed, where there is one */
  observe(labels: Labels, value: number, trace: Traced | null): void {
    const series = this.seriesOf(labels);
    const bounds = this.#bounds;
    let bucket = 0;
    while (bucket < bounds.length && value > bounds[bucket]!) bucket++;
    series.counts[bucket]! += 1;
    series.sum += value;
    if (trace === null || series.exemplars === null) return;
    series.exemplars[bucket] = { labelSet: { trace_id: trace.traceId }, value, timestamp: trace.at };
  }

  /** Has a series begin at 0: its first value would be no increase to Prometheus. */
  begin(labels: Labels): void {
    this.seriesOf(labels);
  }

  protected make(): Counted {
    return {
      counts: new Float64Array(this.#bounds.length + 1),
      sum: 0,
      exemplars: this.#hasExemplars ? [] : null,
    };
  }

  protected samples(labels: Labels, { counts, sum, exemplars }: Counted): Sample[] {
    let count = 0;
    const buckets = Array.from(counts, (own, bucket): Sample => {
      count += own;
      const le = this.#bounds[bucket] ?? '+Inf';
      const exemplar = exemplars?.[bucket] ?? null;
      return { metricName: `${this.name}_bucket`, labels: { le, ...labels }, value: count, exemplar };
    });
    return [
      ...buckets,
      { metricName: `${this.name}_sum`, labels, value: sum },
      { metricName: `${this.name}_count`, labels, value: count },
    ];
  }
}
