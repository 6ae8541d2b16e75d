import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from '@opentelemetry/sdk-trace';
import { POOLED_SAMPLING } from '@polylora/engine';
import { describe, expect, it } from 'vitest';
import type { BackendEvent } from '../backends/backend.ts';
import { RecentRequests } from '../requests/recent-requests.ts';
import type { RequestRecord } from '../requests/request-record.ts';
import { OtelTracing } from './otel-tracing.ts';
import type { ClientTrace } from './tracing.ts';

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = { traceparent: `00-${TRACE_ID}-00f067aa0ba902b7-01`, tracestate: 'vendor=abc' };
const NOBODY: ClientTrace = { traceparent: undefined, tracestate: undefined };
const UPSTREAM = { address: 'gpu.example', port: 8000 };
const SAMPLING = { ...POOLED_SAMPLING, temperature: 0.5, topP: 0.9, maxTokens: 20, seed: 7 };
const usage = { promptTokens: 3, completionTokens: 2, cachedPromptTokens: 1 };

/** A tracer whose spans stay here, and what begins requests in it. */
function traced({ ratio = 1, upstream = null as typeof UPSTREAM | null } = {}) {
  const exporter = new InMemorySpanExporter();
  const tracing = new OtelTracing({ processor: new SimpleSpanProcessor({ exporter }), ratio, upstream });
  const requests = new RecentRequests();
  const begin = (client: ClientTrace, route = '/v1/chat/completions'): RequestRecord => {
    // What it is a moment after it came.
    const arrived = performance.now() - 5;
    const record = requests.arrive({
      requestId: 'req_1',
      at: 1_795_000_000_123,
      arrived,
      method: 'POST',
      route,
    });
    record.trace = tracing.begin(record, client);
    record.traceId = record.trace.isSampled ? record.trace.traceId : null;
    record.tenant = 'acme';
    record.read({ model: 'acme/support', isMixture: false, stream: true, choices: 1, prompt: null });
    return record;
  };
  return { begin, requests, spans: () => exporter.getFinishedSpans(), tracing };
}

function delta(): BackendEvent {
  const adapterLoad = { afterSeconds: 0.0001, seconds: 0.0005 };
  const timing = { queuedSeconds: 0.001, adapterLoad, prefillSeconds: 0.001 };
  return { type: 'delta', text: 'secret text', tokens: 1, logprobs: null, timing };
}

const FINISH: BackendEvent = {
  type: 'finish',
  reason: 'stop',
  stopReason: null,
  usage,
  queuedSeconds: 0.001,
};

/** Long enough for what is measured to the nearest microsecond to differ. */
function pass(milliseconds = 4): void {
  const until = performance.now() + milliseconds;
  while (performance.now() < until);
}

function named(spans: readonly ReadableSpan[], name: string): ReadableSpan {
  const found = spans.find((span) => span.name === name);
  if (found === undefined) throw new Error(`no span ${name} among ${spans.map((span) => span.name)}`);
  return found;
}

const nanoseconds = ([seconds, rest]: ReadableSpan['startTime']) =>
  BigInt(seconds) * 1_000_000_000n + BigInt(rest);

describe('the spans of a request', () => {
  it('nest as its parts do, under the span that the client began', () => {
    const { begin, requests, spans } = traced();
    const record = begin(PARENT);
    record.trace?.ask({ sampling: SAMPLING, isSeeded: true, choices: 1 });
    record.timeline.lookUp();
    pass();
    record.timeline.lookedUp();
    record.origin({ result: 'miss', category: 'general' });
    expect(record.send('engine')).toBeNull();
    pass();
    record.timeline.take(delta());
    pass();
    record.timeline.take(FINISH);
    record.status = 200;
    record.used = usage;
    requests.end(record);

    const all = spans();
    const server = named(all, 'POST /v1/chat/completions');
    const inference = named(all, 'chat acme/support');
    const parents = Object.fromEntries(
      all.map((span) => [
        span.name,
        all.find((one) => one.spanContext().spanId === span.parentSpanContext?.spanId)?.name,
      ]),
    );
    expect(parents).toEqual({
      'POST /v1/chat/completions': undefined,
      admission: server.name,
      'cache lookup': server.name,
      [inference.name]: server.name,
      queue: inference.name,
      'adapter load': 'queue',
      prefill: inference.name,
      decode: inference.name,
    });
    expect(server.parentSpanContext).toMatchObject({ traceId: TRACE_ID, spanId: '00f067aa0ba902b7' });
    expect(server.spanContext().traceState?.serialize()).toBe('vendor=abc');
    for (const span of all) {
      expect(span.spanContext().traceId).toBe(TRACE_ID);
      const parent = all.find((one) => one.spanContext().spanId === span.parentSpanContext?.spanId);
      expect(nanoseconds(span.startTime)).toBeLessThanOrEqual(nanoseconds(span.endTime));
      if (parent === undefined) continue;
      expect([span.name, nanoseconds(span.startTime) >= nanoseconds(parent.startTime)]).toEqual([
        span.name,
        true,
      ]);
      expect([span.name, nanoseconds(span.endTime) <= nanoseconds(parent.endTime)]).toEqual([
        span.name,
        true,
      ]);
    }
    expect(nanoseconds(server.startTime)).toBe(1_795_000_000_123_000_000n);
    expect([server.kind, inference.kind]).toEqual([SpanKind.SERVER, SpanKind.INTERNAL]);
    expect(server.attributes).toEqual({
      'http.request.method': 'POST',
      'http.route': '/v1/chat/completions',
      'http.response.status_code': 200,
      'url.path': '/v1/chat/completions',
      'url.scheme': 'http',
      'gen_ai.request.model': 'acme/support',
      'polylora.request.id': 'req_1',
      'polylora.tenant': 'acme',
      'polylora.cache.result': 'miss',
      'polylora.cache.category': 'general',
    });
    expect(inference.attributes).toEqual({
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'polylora',
      'gen_ai.request.model': 'acme/support',
      'gen_ai.response.model': 'acme/support',
      'gen_ai.request.stream': true,
      'gen_ai.request.max_tokens': 20,
      'gen_ai.request.temperature': 0.5,
      'gen_ai.request.top_p': 0.9,
      'gen_ai.request.seed': 7,
      'gen_ai.response.finish_reasons': ['stop'],
      'gen_ai.response.time_to_first_chunk': expect.any(Number),
      'gen_ai.usage.input_tokens': 3,
      'gen_ai.usage.output_tokens': 2,
      'gen_ai.usage.cache_read.input_tokens': 1,
    });
    expect(named(all, 'cache lookup').attributes).toMatchObject({ 'polylora.cache.result': 'miss' });
    expect(
      JSON.stringify(all.map(({ name, attributes, events }) => [name, attributes, events])),
    ).not.toContain('secret');
  });

  it('tell how long the call took until its first chunk, and how many choices were wanted of each prompt', () => {
    const { begin, requests, spans } = traced();
    const record = begin(NOBODY, '/v1/completions');
    // Two prompts of three choices.
    record.read({ model: 'llama', isMixture: false, stream: true, choices: 6, prompt: null });
    record.trace?.ask({ sampling: SAMPLING, isSeeded: false, choices: 3 });
    pass(50);
    record.send('engine');
    record.timeline.take(delta());
    requests.end(record);
    const { attributes, startTime } = named(spans(), 'text_completion llama');
    expect(attributes['gen_ai.request.choice.count']).toBe(3);
    const { firstAt, sentAt } = record.timeline;
    expect(attributes['gen_ai.response.time_to_first_chunk']).toBe(((firstAt ?? 0) - (sentAt ?? 0)) / 1000);
    expect(nanoseconds(startTime)).toBeGreaterThan(nanoseconds(named(spans(), 'admission').startTime));
  });

  it('have no choices where vectors are wanted, however many texts there are', () => {
    const { begin, requests, spans } = traced();
    const record = begin(NOBODY, '/v1/embeddings');
    record.read({ model: 'llama', isMixture: false, stream: false, choices: 4, prompt: null });
    record.send('vectors');
    pass();
    record.timeline.computed();
    requests.end(record);
    expect(named(spans(), 'embeddings llama').attributes).not.toHaveProperty('gen_ai.request.choice.count');
  });

  it('name what failed; an error is only what failed here', () => {
    const { begin, requests, spans } = traced();
    const [refused, broken] = [begin(NOBODY), begin(NOBODY)];
    refused.status = 429;
    refused.fail('rate_limit_exceeded');
    requests.end(refused);
    broken.send('engine');
    broken.status = 200;
    broken.fail('engine_unavailable');
    pass();
    requests.end(broken);
    const told = spans()
      .filter(({ kind, name }) => kind === SpanKind.SERVER || name.startsWith('chat'))
      .map(({ name, attributes, status }) => [name, attributes['error.type'], status.code]);
    expect(told).toEqual([
      ['POST /v1/chat/completions', 'rate_limit_exceeded', SpanStatusCode.UNSET],
      ['chat acme/support', 'engine_unavailable', SpanStatusCode.ERROR],
      ['POST /v1/chat/completions', 'engine_unavailable', SpanStatusCode.ERROR],
    ]);
  });

  it('are none where the client, or the ratio, has decided so', () => {
    const off = traced();
    const record = off.begin({ ...PARENT, traceparent: PARENT.traceparent.replace(/01$/, '00') });
    expect([record.traceId, record.send('engine')]).toEqual([null, null]);
    off.requests.end(record);
    expect(off.spans()).toEqual([]);
    const never = traced({ ratio: 0 });
    never.requests.end(never.begin(NOBODY));
    expect(never.spans()).toEqual([]);
    // Whoever began it wants it whole.
    never.requests.end(never.begin(PARENT));
    expect(never.spans()).not.toEqual([]);
  });

  it('begin a trace of their own where the client sent none, or nonsense', () => {
    const { begin } = traced();
    for (const traceparent of [
      undefined,
      'x',
      `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`,
      `${PARENT.traceparent}, b`,
    ]) {
      const { traceId } = begin({ traceparent, tracestate: 'vendor=abc' });
      expect(traceId).toMatch(/^[0-9a-f]{32}$/);
      expect(traceId).not.toBe(TRACE_ID);
    }
  });
});

describe('another server', () => {
  it('is told the trace, under the span of the call to it', () => {
    const { begin, requests, spans } = traced({ upstream: UPSTREAM });
    const record = begin(PARENT);
    const headers = record.send('upstream');
    pass();
    record.timeline.take(FINISH);
    requests.end(record);
    const call = named(spans(), 'chat acme/support');
    expect(headers).toEqual({
      traceparent: `00-${TRACE_ID}-${call.spanContext().spanId}-01`,
      tracestate: 'vendor=abc',
    });
    expect(call.kind).toBe(SpanKind.CLIENT);
    expect(call.attributes).toMatchObject({ 'server.address': 'gpu.example', 'server.port': 8000 });
  });

  it('is told of one that nobody sees, too', () => {
    const { begin, requests, spans } = traced({ upstream: UPSTREAM });
    const record = begin({ ...PARENT, traceparent: PARENT.traceparent.replace(/01$/, '00') });
    expect(record.send('upstream')?.traceparent).toMatch(new RegExp(`^00-${TRACE_ID}-[0-9a-f]{16}-00$`));
    requests.end(record);
    expect(spans()).toEqual([]);
  });
});
