import type { ExportResult } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter } from '@opentelemetry/sdk-trace';
import { Collector, type CollectorOptions, EXPORT_MILLISECONDS } from './collector.ts';
import { OtelTracing } from './otel-tracing.ts';
import type { Tracing } from './tracing.ts';

export interface OtlpOptions extends CollectorOptions {
  readonly ratio: number;
  /** The server that computes the answers; null: this one does. */
  readonly upstream: string | null;
}

/** Spans that wait to be sent: of about two hundred requests. More are dropped. */
const MOST_WAITING = 2_048;
const SENT_TOGETHER = 512;
const EVERY_MILLISECONDS = 2_000;

/** Begins to trace, to a collector that need not be there. */
export function openOtlpTracing({ ratio, upstream, ...options }: OtlpOptions): Tracing {
  const collector = new Collector('traces', options);
  const processor = new BatchSpanProcessor({
    exporter: new WatchedExporter(new OTLPTraceExporter(collector.to), collector),
    maxQueueSize: MOST_WAITING,
    maxExportBatchSize: SENT_TOGETHER,
    scheduledDelayMillis: EVERY_MILLISECONDS,
    exportTimeoutMillis: EXPORT_MILLISECONDS,
  });
  return new OtelTracing({ processor, ratio, upstream: upstream === null ? null : addressOf(upstream) });
}

function addressOf(upstream: string): { address: string; port: number } {
  const { hostname, port, protocol } = new URL(upstream);
  return { address: hostname, port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port) };
}

class WatchedExporter implements SpanExporter {
  readonly #inner: SpanExporter;
  readonly #collector: Collector;

  constructor(inner: SpanExporter, collector: Collector) {
    this.#inner = inner;
    this.#collector = collector;
  }

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.#inner.export(spans, this.#collector.watch(done));
  }

  shutdown(): Promise<void> {
    return this.#inner.shutdown();
  }

  async forceFlush(): Promise<void> {
    await this.#inner.forceFlush?.();
  }
}
