import {
  type Attributes,
  type Context,
  type HrTime,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  type TextMapSetter,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import {
  ParentBasedSampler,
  type SpanProcessor,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import {
  ATTR_ERROR_TYPE,
  ATTR_HTTP_REQUEST_METHOD,
  ATTR_HTTP_RESPONSE_STATUS_CODE,
  ATTR_HTTP_ROUTE,
  ATTR_SERVER_ADDRESS,
  ATTR_SERVER_PORT,
  ATTR_URL_PATH,
  ATTR_URL_SCHEME,
} from '@opentelemetry/semantic-conventions';
import type { TraceHeaders } from '../backends/backend.ts';
import { ERRORS } from '../errors.ts';
import { FOLLOWED_ROUTES, type RequestRecord } from '../requests/request-record.ts';
import type { Computer, Phase, PhaseName } from '../requests/timeline.ts';
import { VERSION } from '../version.ts';
import { GEN_AI, POLYLORA, PROVIDER } from './attributes.ts';
import { closeWithin } from './collector.ts';
import { serviceResource } from './resource.ts';
import type { Asked, ClientTrace, RequestTrace, Tracing } from './tracing.ts';

export interface OtelTracingOptions {
  /** Takes spans as they end, and is closed with this. */
  readonly processor: SpanProcessor;
  /** Of the traces that begin here; others go as whoever began them has decided. */
  readonly ratio: number;
  /** The server that computes the answers; null: this one does. */
  readonly upstream: { readonly address: string; readonly port: number } | null;
}

/** Spans of phases, by what they are called; an upstream's is the span of the call itself. */
const SPAN_NAMES: Readonly<Record<Exclude<PhaseName, 'upstream'>, string>> = {
  admission: 'admission',
  cache: 'cache lookup',
  queue: 'queue',
  adapter_load: 'adapter load',
  prefill: 'prefill',
  decode: 'decode',
};

/** How long the last spans may take to be sent when the server stops. */
const LAST_SPANS_MILLISECONDS = 2_000;

const GETTER: TextMapGetter<ClientTrace> = {
  keys: () => ['traceparent', 'tracestate'],
  get: (client, name) => client[name as keyof ClientTrace],
};

const SETTER: TextMapSetter<Record<string, string>> = {
  set: (headers, name, value) => {
    headers[name] = value;
  },
};

/** Traces as OpenTelemetry has them. */
export class OtelTracing implements Tracing {
  readonly #provider: TracerProvider;
  readonly #tools: Tools;

  constructor({ processor, ratio, upstream }: OtelTracingOptions) {
    this.#provider = new TracerProvider({
      resource: serviceResource(),
      sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
      spanProcessors: [processor],
    });
    const tracer = this.#provider.getTracer('polylora', VERSION);
    this.#tools = { tracer, propagator: new W3CTraceContextPropagator(), upstream };
  }

  begin(record: RequestRecord, client: ClientTrace): RequestTrace {
    return new OtelRequestTrace(this.#tools, record, client);
  }

  close(): Promise<void> {
    return closeWithin(LAST_SPANS_MILLISECONDS, this.#provider.shutdown());
  }
}

interface Tools {
  readonly tracer: Tracer;
  readonly propagator: W3CTraceContextPropagator;
  readonly upstream: OtelTracingOptions['upstream'];
}

class OtelRequestTrace implements RequestTrace {
  readonly traceId: string;
  readonly isSampled: boolean;
  readonly #tools: Tools;
  /** All of the request. */
  readonly #server: Span;
  /** The part in which its answer is computed; null: none is. */
  #inference: Span | null = null;
  #asked: Asked | null = null;

  constructor(tools: Tools, record: RequestRecord, client: ClientTrace) {
    this.#tools = tools;
    const { method, route, at } = record;
    const parent = tools.propagator.extract(ROOT_CONTEXT, client, GETTER);
    const attributes = {
      [ATTR_HTTP_REQUEST_METHOD]: method,
      [ATTR_HTTP_ROUTE]: route,
      // Paths that are followed have nothing of the client's in them.
      [ATTR_URL_PATH]: route,
      [ATTR_URL_SCHEME]: 'http',
    };
    const options = { kind: SpanKind.SERVER, startTime: hrTime(at), attributes };
    this.#server = tools.tracer.startSpan(`${method} ${route}`, options, parent);
    this.traceId = this.#server.spanContext().traceId;
    this.isSampled = this.#server.isRecording();
  }

  ask(asked: Asked): void {
    if (this.isSampled) this.#asked = asked;
  }

  send(record: RequestRecord, computer: Computer): TraceHeaders | null {
    const { upstream } = this.#tools;
    const isUpstream = computer === 'upstream';
    if (!this.isSampled && !isUpstream) return null;
    const operation = FOLLOWED_ROUTES.get(record.route) ?? 'chat';
    const model = record.model ?? '';
    const startTime = timeOf(record, record.timeline.sentAt ?? record.timeline.arrived);
    const attributes: Attributes = {
      [GEN_AI.operation]: operation,
      [GEN_AI.provider]: PROVIDER,
      [GEN_AI.requestModel]: model,
      ...(isUpstream && upstream !== null
        ? { [ATTR_SERVER_ADDRESS]: upstream.address, [ATTR_SERVER_PORT]: upstream.port }
        : {}),
    };
    const kind = isUpstream ? SpanKind.CLIENT : SpanKind.INTERNAL;
    const context = under(this.#server);
    this.#inference = this.#tools.tracer.startSpan(
      `${operation} ${model}`,
      { kind, startTime, attributes },
      context,
    );
    if (!isUpstream) return null;
    const headers: Record<string, string> = {};
    this.#tools.propagator.inject(under(this.#inference), headers, SETTER);
    return headers;
  }

  end(record: RequestRecord): void {
    if (!this.isSampled) return;
    const { timeline } = record;
    const ended = timeline.endedAt ?? performance.now();
    const inference = this.#inference;
    // Parents before children, so that a child has one.
    const spans = new Map<PhaseName, Span>();
    for (const phase of timeline.phases(ended)) {
      if (phase.name === 'upstream') continue;
      const within = phase.name === 'adapter_load' ? (spans.get('queue') ?? inference) : inference;
      const parent = isBefore(phase.name) ? null : within;
      spans.set(phase.name, this.#phase(record, phase, parent ?? this.#server));
    }
    if (inference !== null) {
      inference.setAttributes(this.#inferenceAttributes(record));
      fail(inference, record);
      inference.end(timeOf(record, Math.min(ended, timeline.computedAt ?? ended)));
    }
    const server = this.#server;
    server.setAttributes(serverAttributes(record));
    fail(server, record);
    server.end(timeOf(record, ended));
  }

  /** A part that is over: all that was in it is known. */
  #phase(record: RequestRecord, { name, from, until }: Phase, parent: Span): Span {
    const startTime = timeOf(record, from);
    const spanName = SPAN_NAMES[name as keyof typeof SPAN_NAMES];
    const attributes = name === 'cache' ? cacheAttributes(record) : {};
    const span = this.#tools.tracer.startSpan(spanName, { startTime, attributes }, under(parent));
    span.end(timeOf(record, until));
    return span;
  }

  #inferenceAttributes(record: RequestRecord): Attributes {
    const { model, stream, used, timeline } = record;
    const { firstAt, sentAt, finishReasons } = timeline;
    return {
      ...(this.#asked === null ? {} : askedAttributes(this.#asked)),
      ...(model === null ? {} : { [GEN_AI.responseModel]: model }),
      ...(stream ? { [GEN_AI.stream]: true } : {}),
      ...(finishReasons.length === 0 ? {} : { [GEN_AI.finishReasons]: [...finishReasons] }),
      // From the call that the span is of, as the convention has it, and not from the client's request to this server.
      ...(stream && firstAt !== null && sentAt !== null
        ? { [GEN_AI.timeToFirstChunk]: (firstAt - sentAt) / 1000 }
        : {}),
      ...(used === null
        ? {}
        : {
            [GEN_AI.inputTokens]: used.promptTokens,
            [GEN_AI.outputTokens]: used.completionTokens,
            [GEN_AI.cacheReadTokens]: used.cachedPromptTokens,
          }),
    };
  }
}

function askedAttributes({ sampling, isSeeded, choices }: Asked): Attributes {
  const { maxTokens, temperature, topP, topK, presencePenalty, frequencyPenalty, seed, constraint } =
    sampling;
  const isJson = constraint?.kind === 'json_schema' || constraint?.kind === 'json_object';
  return {
    ...(maxTokens === null ? {} : { [GEN_AI.maxTokens]: maxTokens }),
    [GEN_AI.temperature]: temperature,
    [GEN_AI.topP]: topP,
    ...(topK === 0 ? {} : { [GEN_AI.topK]: topK }),
    ...(presencePenalty === 0 ? {} : { [GEN_AI.presencePenalty]: presencePenalty }),
    ...(frequencyPenalty === 0 ? {} : { [GEN_AI.frequencyPenalty]: frequencyPenalty }),
    ...(choices === 1 ? {} : { [GEN_AI.choices]: choices }),
    ...(isSeeded ? { [GEN_AI.seed]: seed } : {}),
    ...(isJson ? { [GEN_AI.outputType]: 'json' } : {}),
  };
}

function serverAttributes(record: RequestRecord): Attributes {
  const { status, tenant, model, requestId } = record;
  return {
    [POLYLORA.requestId]: requestId,
    ...(status === null ? {} : { [ATTR_HTTP_RESPONSE_STATUS_CODE]: status }),
    ...(tenant === null ? {} : { [POLYLORA.tenant]: tenant }),
    ...(model === null ? {} : { [GEN_AI.requestModel]: model }),
    ...cacheAttributes(record),
  };
}

function cacheAttributes({ cache, category }: RequestRecord): Attributes {
  return {
    ...(cache === null ? {} : { [POLYLORA.cacheResult]: cache }),
    ...(category === null ? {} : { [POLYLORA.cacheCategory]: category }),
  };
}

/** What was refused to a client is its own affair, as the conventions for HTTP have it: an error is what failed here. */
function fail(span: Span, { errorCode }: RequestRecord): void {
  if (errorCode === null) return;
  span.setAttribute(ATTR_ERROR_TYPE, errorCode);
  if (ERRORS[errorCode].status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
}

/** Whether a part comes before anything is computed. */
function isBefore(name: PhaseName): boolean {
  return name === 'admission' || name === 'cache';
}

function under(parent: Span): Context {
  return trace.setSpan(ROOT_CONTEXT, parent);
}

/** A time of the request, by the time of day at which it came: all of its spans lie to each other as they were measured. */
function timeOf({ at, timeline }: RequestRecord, time: number): HrTime {
  return hrTime(at + (time - timeline.arrived));
}

/** @param milliseconds since 1970 */
function hrTime(milliseconds: number): HrTime {
  const seconds = Math.floor(milliseconds / 1000);
  return [seconds, Math.floor((milliseconds - seconds * 1000) * 1e6)];
}
