import type { Sample } from './exposition.ts';

/** How often values came that are no larger than each of some bounds: as in Prometheus, a bucket counts all that are in lower ones, too. */
export interface Distribution {
  readonly count: number;
  readonly sum: number;
  readonly buckets: readonly { readonly le: number; readonly count: number }[];
}

const NOTHING: Distribution = { count: 0, sum: 0, buckets: [] };

/**
 * A histogram that another process counts, which may begin anew at 0: here it goes on. It is registered with prom-client, whose own
 * histograms can only be told of one value at a time.
 */
export class FollowedHistogram {
  readonly name: string;
  readonly help: string;
  readonly type = 'histogram';
  readonly aggregator = 'sum';
  readonly #labels: () => Readonly<Record<string, string>>;
  /** Of those that came before the one that counts now. */
  #before = NOTHING;
  #last = NOTHING;

  /** @param labels as of now */
  constructor(
    { name, help }: { readonly name: string; readonly help: string },
    labels: () => Readonly<Record<string, string>>,
  ) {
    this.name = name;
    this.help = help;
    this.#labels = labels;
  }

  /** What the other process has counted since it began. */
  follow(counted: Distribution): void {
    if (counted.count < this.#last.count) this.#before = sumOf(this.#before, this.#last);
    this.#last = counted;
  }

  /** As prom-client asks. */
  async get(): Promise<object> {
    const { name, help, type, aggregator } = this;
    return { name, help, type, aggregator, values: this.#samples() };
  }

  reset(): void {
    this.#before = NOTHING;
    this.#last = NOTHING;
  }

  #samples(): Sample[] {
    const { count, sum, buckets } = sumOf(this.#before, this.#last);
    const labels = this.#labels();
    const bucket = (le: string, value: number): Sample => ({
      ...{ metricName: `${this.name}_bucket`, labels: { le, ...labels }, value },
    });
    return [
      ...buckets.map(({ le, count }) => bucket(String(le), count)),
      bucket('+Inf', count),
      { metricName: `${this.name}_sum`, labels, value: sum },
      { metricName: `${this.name}_count`, labels, value: count },
    ];
  }
}

function sumOf(a: Distribution, b: Distribution): Distribution {
  // Their bounds are those of the same engine; one has none as long as nothing was counted.
  const [longer, other] = a.buckets.length >= b.buckets.length ? [a, b] : [b, a];
  return {
    count: a.count + b.count,
    sum: a.sum + b.sum,
    buckets: longer.buckets.map(({ le, count }, i) => ({
      le,
      count: count + (other.buckets[i]?.count ?? 0),
    })),
  };
}
