import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter } from '@opentelemetry/sdk-trace';
import type { Logger } from '../logging.ts';
import { parseExportHeaders } from './export-headers.ts';
import { OtelTracing } from './otel-tracing.ts';
import type { Tracing } from './tracing.ts';

export interface OtlpOptions {
  /** Where spans are sent by OTLP over HTTP, in JSON. */
  readonly endpoint: string;
  /** Headers of what is sent, as the configuration has them. */
  readonly headers: string | null;
  readonly ratio: number;
  /** The server that computes the answers; null: this one does. */
  readonly upstream: string | null;
  readonly logger: Logger;
}

/** OTLP's own, where an endpoint has no path. */
const TRACES_PATH = '/v1/traces';

/** Spans that wait to be sent: of about two hundred requests. More are dropped. */
const MOST_WAITING = 2_048;
const SENT_TOGETHER = 512;
const EVERY_MILLISECONDS = 2_000;
/** After which what could not be sent is given up. */
const EXPORT_MILLISECONDS = 5_000;

/** Begins to trace, to a collector that need not be there. */
export function openOtlpTracing({ endpoint, headers, ratio, upstream, logger }: OtlpOptions): Tracing {
  const url = new URL(endpoint);
  if (url.pathname === '/') url.pathname = TRACES_PATH;
  const exporter = new OTLPTraceExporter({
    url: url.href,
    headers: headers === null ? {} : (parseExportHeaders(headers) ?? {}),
    timeoutMillis: EXPORT_MILLISECONDS,
  });
  const processor = new BatchSpanProcessor({
    exporter: new WatchedExporter(exporter, url.origin, logger),
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

/** An exporter that tells once when it begins to fail, and once when it is well again. */
class WatchedExporter implements SpanExporter {
  readonly #inner: SpanExporter;
  readonly #origin: string;
  readonly #logger: Logger;
  #isFailing = false;

  constructor(inner: SpanExporter, origin: string, logger: Logger) {
    this.#inner = inner;
    this.#origin = origin;
    this.#logger = logger;
  }

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.#inner.export(spans, (result) => {
      this.#saw(result.error);
      // The SDK would tell each failure to a handler of the whole process.
      done({ code: ExportResultCode.SUCCESS });
    });
  }

  shutdown(): Promise<void> {
    return this.#inner.shutdown();
  }

  async forceFlush(): Promise<void> {
    await this.#inner.forceFlush?.();
  }

  #saw(error: Error | undefined): void {
    if ((error !== undefined) === this.#isFailing) return;
    this.#isFailing = error !== undefined;
    const collector = this.#origin;
    if (error === undefined) this.#logger.info({ collector }, 'traces are sent again');
    // What a collector answers is its own: its name for the failure is enough.
    else
      this.#logger.warn(
        { collector, reason: reasonOf(error) },
        'traces cannot be sent, and are lost until they can',
      );
  }
}

function reasonOf(error: Error): string {
  const { code } = error as { readonly code?: unknown };
  return typeof code === 'string' || typeof code === 'number' ? String(code) : error.name;
}
