import { Gauge, type Metric, type OpenMetricsContentType, type Registry } from 'prom-client';
import { METRICS, type MetricKey } from './definitions.ts';
import { type ExpositionFormat, expose, type Family } from './exposition.ts';
import { type Distribution, FollowedHistogram } from './followed-histogram.ts';
import { CounterFamily, HistogramFamily, type Labels, type Traced } from './series.ts';

export type KeysOf<Kind> = {
  [K in MetricKey]: (typeof METRICS)[K]['kind'] extends Kind ? K : never;
}[MetricKey];

/** Every declared metric, in a registry of the caller's. */
export class Instruments {
  readonly #registry: Registry<OpenMetricsContentType>;
  readonly #gauges = new Map<string, Gauge>();
  readonly #counters = new Map<string, CounterFamily>();
  readonly #histograms = new Map<string, HistogramFamily>();
  readonly #followed = new Map<string, FollowedHistogram>();
  /** What counters of others said last. */
  readonly #seen = new Map<string, number>();

  /** @param model the labels of all that is about the model, as of now */
  constructor(registry: Registry<OpenMetricsContentType>, model: () => Labels) {
    this.#registry = registry;
    for (const [key, definition] of Object.entries(METRICS)) {
      const { kind, name, help, labels } = definition;
      const options = { name, help, labelNames: [...labels] };
      if (kind === 'gauge') this.#gauges.set(key, new Gauge({ ...options, registers: [registry] }));
      else if (kind === 'counter') this.#counters.set(key, registered(registry, new CounterFamily(options)));
      else if ('buckets' in definition) {
        const histogram = new HistogramFamily(options, definition.buckets, 'exemplars' in definition);
        this.#histograms.set(key, registered(registry, histogram));
      } else {
        const followed = new FollowedHistogram({ name, help }, labels.length === 0 ? () => ({}) : model);
        this.#followed.set(key, registered(registry, followed));
      }
    }
  }

  set(key: KeysOf<'gauge'>, value: number, labels: Labels = {}): void {
    this.#gauges.get(key)?.set(labels, value);
  }

  /** Takes out all series of a gauge, the one without labels too: 0 would be something. */
  clear(key: KeysOf<'gauge'>): void {
    const gauge = this.#gauges.get(key);
    gauge?.reset();
    gauge?.remove({});
  }

  count(key: KeysOf<'counter'>, value: number, labels: Labels): void {
    this.#counters.get(key)?.add(labels, value);
  }

  /** Has a histogram's series begin at 0. */
  begin(key: KeysOf<'histogram'>, labels: Labels): void {
    this.#histograms.get(key)?.begin(labels);
  }

  /** @param trace of what took so long, where there is one */
  observe(key: KeysOf<'histogram'>, value: number, labels: Labels, trace: Traced | null = null): void {
    this.#histograms.get(key)?.observe(labels, value, trace);
  }

  /** Takes out a series. */
  remove(key: KeysOf<'counter' | 'gauge' | 'histogram'>, labels: Labels): void {
    (this.#counters.get(key) ?? this.#gauges.get(key) ?? this.#histograms.get(key))?.remove(labels);
  }

  /** Follows a counter that starts at 0 again when the engine does. */
  follow(key: KeysOf<'counter'>, total: number, labels: Labels): void {
    const series = [key, ...Object.values(labels)].join(' ');
    const seen = this.#seen.get(series) ?? 0;
    this.#seen.set(series, total);
    this.count(key, total < seen ? total : total - seen, labels);
  }

  /** Follows a histogram that does. */
  followDistribution(key: KeysOf<'histogram'>, counted: Distribution): void {
    this.#followed.get(key)?.follow(counted);
  }

  /** All of them as text. */
  async text(format: ExpositionFormat): Promise<string> {
    const families = await this.#registry.getMetricsAsJSON();
    // Its types say that a kind is a number, which it is not.
    return expose(
      families.map(({ name, help, type, values }) => ({
        ...{ name, help, type: type as unknown as Family['type'], samples: values },
      })),
      format,
    );
  }
}

/** Has prom-client's registry tell of a metric of ours, which has all that it asks of one. */
function registered<T extends object>(registry: Registry<OpenMetricsContentType>, metric: T): T {
  registry.registerMetric(metric as unknown as Metric);
  return metric;
}
