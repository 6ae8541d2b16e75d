import { beforeEach, describe, expect, it } from 'vitest';
import type { BackendEvent } from '../backends/backend.ts';
import { StartingBackend } from '../backends/starting.ts';
import { Metrics } from './metrics.ts';
import type { Measured } from './sequence-meter.ts';

const MODEL = { id: 'pirate@3', mixture: null };
const ASKED = { route: '/v1/chat/completions', method: 'POST', seconds: 0.02 };

let metrics: Metrics;
beforeEach(() => {
  metrics = new Metrics();
  metrics.setModel('base', 4);
});

async function lines(start: string, format: 'text' | 'openmetrics' = 'text'): Promise<string[]> {
  const text = await metrics.render(new StartingBackend(), format);
  return text.split('\n').filter((line) => line.startsWith(start));
}

const delta = (tokens: number): BackendEvent => ({ type: 'delta', text: 'x', tokens, logprobs: null });
const FINISH: BackendEvent = {
  ...{ type: 'finish', reason: 'stop', stopReason: null, queuedSeconds: 0.01 },
  usage: { promptTokens: 7, completionTokens: 3, cachedPromptTokens: 0 },
};

/** A sequence of three tokens. */
function run(fields: Partial<Measured> = {}): void {
  const sequence = metrics.sequence({
    tenant: 'acme',
    model: MODEL,
    isAwaited: true,
    traceId: null,
    ...fields,
  });
  sequence.see({ type: 'start', promptTokens: 7, promptText: null }, performance.now());
  sequence.see(delta(1), performance.now());
  sequence.see(delta(2), performance.now());
  sequence.see(FINISH, performance.now());
  sequence.end();
}

describe('metrics', () => {
  it('count a sequence for the model, its tenant and its adapter', async () => {
    run();
    run({ tenant: 'globex' });
    expect(await lines('polylora_adapter_')).toEqual(
      expect.arrayContaining([
        'polylora_adapter_sequences_total{lora_name="pirate"} 2',
        'polylora_adapter_generation_tokens_total{lora_name="pirate"} 6',
        'polylora_adapter_first_token_seconds_count{lora_name="pirate"} 2',
      ]),
    );
    expect(await lines('polylora_tenant_')).toEqual(
      expect.arrayContaining([
        'polylora_tenant_prompt_tokens_total{tenant="acme"} 7',
        'polylora_tenant_generation_tokens_total{tenant="globex"} 3',
        'polylora_tenant_first_token_seconds_count{tenant="acme"} 1',
      ]),
    );
    expect(await lines('vllm:request_prefill_time_seconds_count')).toEqual([
      'vllm:request_prefill_time_seconds_count{model_name="base"} 2',
    ]);
    expect(await lines('vllm:request_decode_time_seconds_count')).toEqual([
      'vllm:request_decode_time_seconds_count{model_name="base"} 2',
    ]);
  });

  it('have a mixture under one name, whatever is in it', async () => {
    for (const weight of [0.1, 0.2])
      run({ model: { id: `${weight}*a`, mixture: [{ digest: 'a', weight }] } });
    expect(await lines('polylora_adapter_sequences_total')).toEqual([
      'polylora_adapter_sequences_total{lora_name="mixture"} 2',
    ]);
  });

  it('leave what nobody waits for out of latencies', async () => {
    run({ isAwaited: false });
    expect(await lines('vllm:time_to_first_token_seconds_count')).toEqual([]);
    expect(await lines('polylora_tenant_first_token_seconds_count')).toEqual([]);
    const finished = (reason: string, count: number) =>
      `vllm:request_success_total{model_name="base",finished_reason="${reason}"} ${count}`;
    expect(await lines('vllm:request_success_total')).toEqual([
      ...[finished('stop', 1), finished('length', 0), finished('abort', 0), finished('error', 0)],
    ]);
  });

  it('tell how a tenant’s requests ended, and which limit was in the way', async () => {
    const answered = (status: number, code: string | null) =>
      metrics.countHttp({ ...ASKED, status, tenant: 'acme', code });
    answered(200, null);
    answered(404, 'model_not_found');
    answered(429, 'rate_limit_exceeded');
    answered(429, 'insufficient_quota');
    answered(499, 'client_closed_request');
    answered(503, 'engine_unavailable');
    metrics.countHttp({ ...ASKED, status: 401, tenant: null, code: 'invalid_api_key' });
    const outcome = (name: string, count: number) =>
      `polylora_tenant_requests_total{tenant="acme",outcome="${name}"} ${count}`;
    expect(await lines('polylora_tenant_requests_total')).toEqual([
      ...[
        outcome('ok', 1),
        outcome('refused', 1),
        outcome('limited', 2),
        outcome('left', 1),
        outcome('failed', 1),
      ],
    ]);
    expect(await lines('polylora_tenant_limited_total')).toEqual([
      'polylora_tenant_limited_total{tenant="acme",code="rate_limit_exceeded"} 1',
      'polylora_tenant_limited_total{tenant="acme",code="insufficient_quota"} 1',
    ]);
    expect(await lines('polylora_errors_total{code="invalid_api_key"}')).toHaveLength(1);
    expect(await lines('polylora_http_request_seconds_count')).toEqual([
      'polylora_http_request_seconds_count{route="/v1/chat/completions"} 7',
    ]);
  });

  it('count failures of a route from 0, as a first value is no increase', async () => {
    metrics.countHttp({ ...ASKED, status: 200, tenant: 'acme', code: null });
    const series = (status: number, count: number) =>
      `polylora_http_requests_total{route="/v1/chat/completions",method="POST",status="${status}"} ${count}`;
    expect(await lines('polylora_http_requests_total')).toEqual([
      ...[series(500, 0), series(502, 0), series(503, 0), series(200, 1)],
    ]);
  });

  it('have series of fifty tenants, however many there are', async () => {
    for (let i = 0; i < 1_000; i++) {
      metrics.countHttp({ ...ASKED, status: 200, tenant: `t${i}`, code: null });
      metrics.countSpend(`t${i}`, 0.5);
      run({ tenant: `t${i}`, model: { id: `t${i}/a`, mixture: null } });
    }
    const requests = await lines('polylora_tenant_requests_total');
    expect(requests).toHaveLength(51);
    expect(requests.find((line) => line.includes('"other"'))).toMatch(/ 950$/);
    expect(await lines('polylora_tenant_spend_total{tenant="other"}')).toEqual([
      'polylora_tenant_spend_total{tenant="other"} 475',
    ]);
    expect(await lines('polylora_adapter_sequences_total')).toHaveLength(51);
  });

  it('let a tenant that has become active take the place of one that is not, and take out all of that one', async () => {
    for (let i = 0; i < 50; i++) {
      metrics.countHttp({ ...ASKED, status: 429, tenant: `t${i}`, code: 'rate_limit_exceeded' });
      metrics.countSpend(`t${i}`, 1);
      run({ tenant: `t${i}` });
    }
    for (let i = 0; i < 4; i++) metrics.countHttp({ ...ASKED, status: 200, tenant: 'new', code: null });
    const text = await metrics.render(new StartingBackend(), 'text');
    const tenants = new Set([...text.matchAll(/tenant="(\w+)"/g)].map(([, tenant]) => tenant));
    expect(tenants.size).toBe(51);
    expect([tenants.has('new'), tenants.has('other')]).toEqual([true, true]);
  });

  it('tell how much of a budget is spent as of now', async () => {
    metrics.countHttp({ ...ASKED, status: 200, tenant: 'acme', code: null });
    let share = 0.25;
    metrics.setBudgets((names) => new Map([...names].map((name) => [name, share])));
    expect(await lines('polylora_tenant_budget_used_ratio')).toEqual([
      'polylora_tenant_budget_used_ratio{tenant="acme"} 0.25',
    ]);
    share = 1;
    expect(await lines('polylora_tenant_budget_used_ratio')).toEqual([
      'polylora_tenant_budget_used_ratio{tenant="acme"} 1',
    ]);
  });

  it('have the trace that a latency is of, where there is one and somebody asks for exemplars', async () => {
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    run();
    run({ traceId });
    const buckets = await lines('vllm:time_to_first_token_seconds_bucket', 'openmetrics');
    expect(buckets.filter((line) => line.includes(`# {trace_id="${traceId}"} `))).toHaveLength(1);
    expect((await lines('vllm:time_to_first_token_seconds_bucket')).join('\n')).not.toContain('#');
  });

  it('tell of the process and its disks', async () => {
    metrics.watchProcess('engine', { store: '/', data: '/nowhere/at/all' });
    expect(await lines('polylora_build_info')).toEqual([
      expect.stringMatching(/^polylora_build_info\{version="[^"]+",node="v[^"]+",backend="engine"\} 1$/),
    ]);
    expect(await lines('polylora_disk_free_bytes')).toEqual([
      expect.stringMatching(/^polylora_disk_free_bytes\{directory="store"\} \d+$/),
    ]);
    expect(await lines('process_cpu_seconds_total')).toHaveLength(1);
  });
});
