import type { Attributes, Histogram } from '@opentelemetry/api';
import { type IMetricReader, MeterProvider } from '@opentelemetry/sdk-metrics';
import { ATTR_ERROR_TYPE } from '@opentelemetry/semantic-conventions';
import { adapterName, MOST_ADAPTERS } from '../metrics/adapter-meter.ts';
import { TopNames } from '../metrics/top-names.ts';
import { FOLLOWED_ROUTES, type RequestRecord } from '../requests/request-record.ts';
import { VERSION } from '../version.ts';
import { GEN_AI, PROVIDER } from './attributes.ts';
import { closeWithin } from './collector.ts';
import type { GenAiMetrics } from './gen-ai-metrics.ts';
import { serviceResource } from './resource.ts';

/** What the conventions have for servers of models, with the bounds that they advise, in seconds. */
const SERVER_METRICS = {
  duration: {
    name: 'gen_ai.server.request.duration',
    description: 'Generative AI server request duration such as time-to-last byte or last output token.',
    bounds: [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92],
  },
  firstToken: {
    name: 'gen_ai.server.time_to_first_token',
    description: 'Time to generate first token for successful responses.',
    bounds: [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
  },
  perOutputToken: {
    name: 'gen_ai.server.time_per_output_token',
    description: 'Time per output token generated after the first token for successful responses.',
    bounds: [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5],
  },
} as const;

/** How long the last metrics may take to be sent when the server stops. */
const LAST_METRICS_MILLISECONDS = 2_000;

/** The conventions' metrics of a server of models, made of requests' timelines when they end. */
export class OtelGenAiMetrics implements GenAiMetrics {
  readonly #provider: MeterProvider;
  readonly #histograms: Readonly<Record<keyof typeof SERVER_METRICS, Histogram>>;
  /** Series that are there cannot be taken out of the SDK: it bounds them by their number. */
  readonly #names = new TopNames({
    most: MOST_ADAPTERS,
    now: () => performance.now(),
    onRemoved: () => {},
  });

  /** @param reader collects what is measured, and is closed with this */
  constructor(reader: IMetricReader) {
    this.#provider = new MeterProvider({ resource: serviceResource(), readers: [reader] });
    const meter = this.#provider.getMeter('polylora', VERSION);
    const histogram = (key: keyof typeof SERVER_METRICS) => {
      const { name, description, bounds } = SERVER_METRICS[key];
      const advice = { explicitBucketBoundaries: [...bounds] };
      return meter.createHistogram(name, { description, unit: 's', advice });
    };
    this.#histograms = {
      duration: histogram('duration'),
      firstToken: histogram('firstToken'),
      perOutputToken: histogram('perOutputToken'),
    };
  }

  /** As with spans, only what was handed to a model is one's work: the cache's answers and what was refused are not. */
  measure(record: RequestRecord): void {
    const { timeline, model, isMixture, errorCode, used, choices } = record;
    const { arrived, sentAt, firstAt, computedAt, endedAt } = timeline;
    if (sentAt === null || endedAt === null || model === null) return;
    const name = this.#names.label(adapterName(model, isMixture));
    const attributes: Attributes = {
      [GEN_AI.operation]: FOLLOWED_ROUTES.get(record.route) ?? 'chat',
      [GEN_AI.provider]: PROVIDER,
      [GEN_AI.requestModel]: name,
      ...(errorCode === null ? {} : { [ATTR_ERROR_TYPE]: errorCode }),
    };
    const { duration, firstToken, perOutputToken } = this.#histograms;
    // A client that reads slowly makes no model slow.
    const last = Math.min(endedAt, computedAt ?? endedAt);
    duration.record((last - arrived) / 1000, attributes);
    if (errorCode !== null || firstAt === null) return;
    firstToken.record((firstAt - arrived) / 1000, attributes);
    // Choices are made beside each other: the time from one token to the next is not told by their number.
    const tokens = used?.completionTokens ?? 0;
    if (choices === 1 && tokens > 1)
      perOutputToken.record((last - firstAt) / 1000 / (tokens - 1), attributes);
  }

  close(): Promise<void> {
    return closeWithin(LAST_METRICS_MILLISECONDS, this.#provider.shutdown());
  }
}
