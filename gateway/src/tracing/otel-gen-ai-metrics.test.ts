import {
  AggregationTemporality,
  InMemoryMetricExporter,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { BackendEvent } from '../backends/backend.ts';
import type { ErrorCode } from '../errors.ts';
import { RecentRequests } from '../requests/recent-requests.ts';
import type { RequestRecord } from '../requests/request-record.ts';
import { OtelGenAiMetrics } from './otel-gen-ai-metrics.ts';

const DELTA: BackendEvent = { type: 'delta', text: 'x', tokens: 1, logprobs: null };
const usage = { promptTokens: 3, completionTokens: 5, cachedPromptTokens: 0 };
const FINISH: BackendEvent = { type: 'finish', reason: 'stop', stopReason: null, usage, queuedSeconds: 0 };

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Metrics that stay here, and requests that are measured by them. */
function measured() {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter });
  const metrics = new OtelGenAiMetrics(reader);
  const requests = new RecentRequests((record) => metrics.measure(record));
  const arrive = (model: string, { route = '/v1/chat/completions', choices = 1, isMixture = false } = {}) => {
    const arrived = performance.now();
    const record = requests.arrive({ requestId: 'req', at: 0, arrived, method: 'POST', route });
    record.tenant = 'acme';
    record.read({ model, isMixture, stream: true, choices, prompt: 'secret' });
    return record;
  };
  /** Every series by its name and attributes: how many, and their sum. */
  const read = async () => {
    exporter.reset();
    await reader.forceFlush();
    const [collected] = exporter.getMetrics();
    return (collected?.scopeMetrics ?? []).flatMap(({ metrics }) =>
      metrics.flatMap(({ descriptor, dataPoints }) =>
        dataPoints.map(({ attributes, value }) => {
          const { count, sum = 0 } = value as { count: number; sum?: number };
          return { name: descriptor.name, attributes, count, sum: Number(sum.toFixed(6)) };
        }),
      ),
    );
  };
  return { requests, arrive, read };
}

function wait(milliseconds: number): void {
  vi.advanceTimersByTime(milliseconds);
}

/** 10 ms until it is handed over, 40 until its first token, 200 for the others; its client reads on for a second. */
function answer(record: RequestRecord, failure: ErrorCode | null = null): RequestRecord {
  wait(10);
  record.send('engine');
  wait(40);
  record.timeline.take(DELTA);
  wait(200);
  record.timeline.take(FINISH);
  wait(1_000);
  if (failure === null) record.used = usage;
  else record.fail(failure);
  return record;
}

const OF = { 'gen_ai.operation.name': 'chat', 'gen_ai.provider.name': 'polylora' };
const named = (model: string) => ({ ...OF, 'gen_ai.request.model': model });

describe('the metrics of a server of models', () => {
  it('are from the arrival to the first and the last token, and what lies between by token', async () => {
    const { requests, arrive, read } = measured();
    requests.end(answer(arrive('acme/support@3')));
    requests.end(answer(arrive('acme/support@4')));
    const attributes = named('acme/support');
    expect(await read()).toEqual([
      { name: 'gen_ai.server.request.duration', attributes, count: 2, sum: 0.5 },
      { name: 'gen_ai.server.time_to_first_token', attributes, count: 2, sum: 0.1 },
      { name: 'gen_ai.server.time_per_output_token', attributes, count: 2, sum: 0.1 },
    ]);
  });

  it('tell only how long it took until something failed, and with what', async () => {
    const { requests, arrive, read } = measured();
    requests.end(answer(arrive('llama'), 'engine_unavailable'));
    const attributes = { ...named('llama'), 'error.type': 'engine_unavailable' };
    expect(await read()).toEqual([
      { name: 'gen_ai.server.request.duration', attributes, count: 1, sum: 0.25 },
    ]);
  });

  it('tell no time for each token of choices that are made beside each other', async () => {
    const { requests, arrive, read } = measured();
    requests.end(answer(arrive('llama', { choices: 2 })));
    expect((await read()).map(({ name }) => name)).toEqual([
      'gen_ai.server.request.duration',
      'gen_ai.server.time_to_first_token',
    ]);
  });

  it('are not of what no model was asked', async () => {
    const { requests, arrive, read } = measured();
    const refused = arrive('llama');
    refused.fail('rate_limit_exceeded');
    requests.end(refused);
    const cached = arrive('llama');
    cached.origin({ result: 'hit', level: 'exact' });
    requests.end(cached);
    expect(await read()).toEqual([]);
  });

  it('name the most active models, what is mixed by one name, and nobody who asks', async () => {
    const { requests, arrive, read } = measured();
    for (let number = 0; number < 80; number++) requests.end(answer(arrive(`adapter-${number}`)));
    requests.end(answer(arrive('a:0.31+b:0.69', { isMixture: true })));
    const series = await read();
    const models = new Set(series.map(({ attributes }) => attributes['gen_ai.request.model']));
    expect(models.size).toBeLessThanOrEqual(55);
    expect(models).toContain('other');
    for (const secret of ['acme', 'secret', '0.31']) expect(JSON.stringify(series)).not.toContain(secret);
  });
});
