/** What takes traces and metrics by OTLP over HTTP, as a collector does, and keeps what came. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

/** A span as it came. */
export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Absent where it begins the trace. */
  readonly parentSpanId?: string;
  readonly name: string;
  /** As OTLP counts them: 1 internal, 2 server, 3 client. */
  readonly kind: number;
  readonly from: bigint;
  readonly until: bigint;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Of the service that it is of. */
  readonly resource: Readonly<Record<string, unknown>>;
}

/** A series of a histogram as it came. */
export interface CollectedHistogram {
  readonly name: string;
  readonly unit: string;
  /** As OTLP counts them: 1 what happened since the last time, 2 all that has happened. */
  readonly temporality: number;
  readonly bounds: readonly number[];
  readonly count: number;
  readonly sum: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly resource: Readonly<Record<string, unknown>>;
}

export interface Collector {
  /** Where traces are sent. */
  readonly url: string;
  readonly metricsUrl: string;
  readonly spans: readonly CollectedSpan[];
  /** The last of each series last. */
  readonly histograms: readonly CollectedHistogram[];
  /** All bytes that came. */
  readonly bodies: readonly Buffer[];
  readonly headers: readonly IncomingHttpHeaders[];
  stop(): Promise<void>;
}

interface Value {
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly intValue?: number | string;
  readonly doubleValue?: number;
  readonly arrayValue?: { readonly values: readonly Value[] };
}

function readValue(value: Value): unknown {
  if (value.arrayValue !== undefined) return value.arrayValue.values.map(readValue);
  if (value.intValue !== undefined) return Number(value.intValue);
  return value.stringValue ?? value.boolValue ?? value.doubleValue;
}

interface Attribute {
  readonly key: string;
  readonly value: Value;
}

const attributesOf = (list: readonly Attribute[]) =>
  Object.fromEntries(list.map(({ key, value }) => [key, readValue(value)]));

function spansOf(body: Buffer): CollectedSpan[] {
  const { resourceSpans } = JSON.parse(body.toString('utf8'));
  return resourceSpans.flatMap(
    (group: { resource: { attributes: Attribute[] }; scopeSpans: { spans: object[] }[] }) =>
      group.scopeSpans.flatMap(({ spans }) =>
        // biome-ignore lint/suspicious/noExplicitAny: as OTLP has it
        spans.map((span: any) => ({
          ...span,
          from: BigInt(span.startTimeUnixNano),
          until: BigInt(span.endTimeUnixNano),
          attributes: attributesOf(span.attributes),
          resource: attributesOf(group.resource.attributes),
        })),
      ),
  );
}

function histogramsOf(body: Buffer): CollectedHistogram[] {
  const { resourceMetrics } = JSON.parse(body.toString('utf8'));
  return resourceMetrics.flatMap(
    (group: { resource: { attributes: Attribute[] }; scopeMetrics: { metrics: object[] }[] }) =>
      group.scopeMetrics.flatMap(({ metrics }) =>
        // biome-ignore lint/suspicious/noExplicitAny: as OTLP has it
        metrics.flatMap(({ name, unit, histogram }: any) =>
          // biome-ignore lint/suspicious/noExplicitAny: as OTLP has it
          histogram.dataPoints.map((point: any) => ({
            ...{ name, unit, temporality: histogram.aggregationTemporality },
            ...{ bounds: point.explicitBounds, count: Number(point.count), sum: point.sum },
            attributes: attributesOf(point.attributes),
            resource: attributesOf(group.resource.attributes),
          })),
        ),
      ),
  );
}

/** @param port 0 for any free one */
export async function startCollector(port = 0): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  const histograms: CollectedHistogram[] = [];
  const bodies: Buffer[] = [];
  const headers: IncomingHttpHeaders[] = [];
  const server = createServer(async (request, response) => {
    const body = await buffer(request);
    bodies.push(body);
    headers.push(request.headers);
    if (request.url === '/v1/metrics') histograms.push(...histogramsOf(body));
    else spans.push(...spansOf(body));
    response.setHeader('content-type', 'application/json').end('{}');
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: `${origin}/v1/traces`,
    metricsUrl: `${origin}/v1/metrics`,
    spans,
    histograms,
    bodies,
    headers,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
