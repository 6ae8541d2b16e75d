import { type ExportResult, getNumberFromEnv, getStringFromEnv } from '@opentelemetry/core';
import { OTLPExporterBase } from '@opentelemetry/otlp-exporter-base';
import {
  convertLegacyHttpOptions,
  createOtlpHttpExportDelegate,
} from '@opentelemetry/otlp-exporter-base/node-http';
import { JsonMetricsSerializer, MetricsExporterMetricsHelper } from '@opentelemetry/otlp-transformer';
import {
  AggregationTemporality,
  PeriodicExportingMetricReader,
  type PushMetricExporter,
  type ResourceMetrics,
} from '@opentelemetry/sdk-metrics';
import { Collector, type CollectorOptions, EXPORT_MILLISECONDS } from './collector.ts';
import type { GenAiMetrics } from './gen-ai-metrics.ts';
import { OtelGenAiMetrics } from './otel-gen-ai-metrics.ts';

/** As OpenTelemetry's own, where `OTEL_METRIC_EXPORT_INTERVAL` says nothing. */
const EVERY_MILLISECONDS = 60_000;
/** Of each instrument; beyond it the SDK counts what is new together. What has been asked for once stays until the next start. */
const MOST_SERIES = 1_000;

/** Begins to measure for a collector, which need not be there. */
export function openOtlpMetrics(options: CollectorOptions): GenAiMetrics {
  const given = getNumberFromEnv('OTEL_METRIC_EXPORT_INTERVAL') ?? 0;
  const every = given > 0 ? given : EVERY_MILLISECONDS;
  const reader = new PeriodicExportingMetricReader({
    exporter: new MetricExporter(new Collector('metrics', options)),
    exportIntervalMillis: every,
    // What is given up is sent again the next time, but for deltas.
    exportTimeoutMillis: Math.min(every, EXPORT_MILLISECONDS),
    cardinalityLimits: { default: MOST_SERIES },
  });
  return new OtelGenAiMetrics(reader);
}

/**
 * OpenTelemetry's exporter of metrics, of the parts that its exporter of traces is made of too: the package of that name would bring all
 * of them a second time, in another version.
 */
class MetricExporter extends OTLPExporterBase<ResourceMetrics> implements PushMetricExporter {
  readonly #collector: Collector;

  constructor(collector: Collector) {
    const options = convertLegacyHttpOptions(collector.to, 'METRICS', 'v1/metrics', {
      'Content-Type': 'application/json',
    });
    super(
      createOtlpHttpExportDelegate(
        options,
        JsonMetricsSerializer,
        'otlp_http_metric_exporter',
        MetricsExporterMetricsHelper,
        undefined,
      ),
    );
    this.#collector = collector;
  }

  override export(metrics: ResourceMetrics, done: (result: ExportResult) => void): void {
    super.export(metrics, this.#collector.watch(done));
  }

  /** Of histograms, which are all that there is: `delta` and `lowmemory` mean the same of them. */
  selectAggregationTemporality(): AggregationTemporality {
    const wanted = getStringFromEnv('OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE')?.toLowerCase();
    const isDelta = wanted === 'delta' || wanted === 'lowmemory';
    return isDelta ? AggregationTemporality.DELTA : AggregationTemporality.CUMULATIVE;
  }
}
