import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Backend, BackendEvent } from '../backends/backend.ts';
import { StartingBackend } from '../backends/starting.ts';
import type { ErrorCode } from '../errors.ts';
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

const failure = (code: ErrorCode): BackendEvent => ({
  ...{ type: 'error', code, message: 'It failed.', retryAfterSeconds: null },
});

/** A sequence that has nothing to tell yet. */
const begun = (fields: Partial<Measured> = {}) =>
  metrics.sequence({
    ...{ tenant: 'acme', model: MODEL, isAwaited: true, traceId: null, live: null },
    ...fields,
  });

/** A sequence of three tokens. */
function run(fields: Partial<Measured> = {}): void {
  const sequence = begun(fields);
  sequence.see({ type: 'start', promptTokens: 7, promptText: null }, performance.now());
  sequence.see(delta(1), performance.now());
  sequence.see(delta(2), performance.now());
  sequence.see(FINISH, performance.now());
  sequence.end(performance.now());
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
    expect(await lines('vllm:time_to_first_token_seconds_count')).toEqual([
      'vllm:time_to_first_token_seconds_count{model_name="base"} 0',
    ]);
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
    const limited = (code: string, count: number) =>
      `polylora_tenant_limited_total{tenant="acme",code="${code}"} ${count}`;
    // From 0, as a first value is no increase.
    expect(await lines('polylora_tenant_limited_total')).toEqual([
      ...[limited('rate_limit_exceeded', 1), limited('concurrency_limit_exceeded', 0)],
      ...[limited('budget_held', 0), limited('insufficient_quota', 1)],
      ...[limited('request_exceeds_limit', 0), limited('engine_overloaded', 0)],
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
    metrics.setBudgets(() => new Map([['acme', share]]));
    expect(await lines('polylora_tenant_budget_used_ratio')).toEqual([
      'polylora_tenant_budget_used_ratio{tenant="acme"} 0.25',
    ]);
    share = 1;
    expect(await lines('polylora_tenant_budget_used_ratio')).toEqual([
      'polylora_tenant_budget_used_ratio{tenant="acme"} 1',
    ]);
  });

  it('tell of the budgets that are used the most, whoever is active', async () => {
    for (let i = 0; i < 60; i++) metrics.countHttp({ ...ASKED, status: 200, tenant: `t${i}`, code: null });
    metrics.setBudgets(() => new Map(Array.from({ length: 60 }, (_, i) => [`t${i}`, i / 100])));
    const shown = await lines('polylora_tenant_budget_used_ratio');
    expect(shown).toHaveLength(50);
    expect(shown).toContain('polylora_tenant_budget_used_ratio{tenant="t59"} 0.59');
    expect(shown.join('\n')).not.toContain('"t9"');
  });

  it('have series of a tenant that uses many tokens, though many others ask more often', async () => {
    for (let i = 0; i < 50; i++)
      for (let asked = 0; asked < 4; asked++)
        metrics.countHttp({ ...ASKED, status: 200, tenant: `poller${i}`, code: null });
    const sequence = begun({ tenant: 'batch', isAwaited: false });
    sequence.see({ type: 'start', promptTokens: 3_000, promptText: null }, performance.now());
    sequence.see(delta(2_500), performance.now());
    sequence.end(performance.now());
    expect(await lines('polylora_tenant_generation_tokens_total')).toEqual([
      'polylora_tenant_generation_tokens_total{tenant="batch"} 2500',
    ]);
  });

  describe('of sequences that end without a token', () => {
    const givenUp = async () => {
      const [count = ''] = await lines('polylora_first_token_given_up_seconds_count');
      const [soon = ''] = await lines('polylora_first_token_given_up_seconds_bucket{le="2.5"');
      return [count, soon].map((line) => Number(line.split(' ').at(-1)));
    };
    /** Well into its waiting. */
    const later = () => performance.now() + 30_000;

    it('count from 0, as a first value is no increase', async () => {
      expect(await givenUp()).toEqual([0, 0]);
    });

    it('tell how long they had waited: left, failed, or past their time limit', async () => {
      begun().end(later());
      begun().see(failure('internal_error'), later());
      begun().see(failure('deadline_exceeded'), later());
      expect(await givenUp()).toEqual([3, 0]);
      begun().end(performance.now());
      expect(await givenUp()).toEqual([4, 1]);
      expect(await lines('polylora_first_token_given_up_seconds_bucket{le="40"')).toEqual([
        'polylora_first_token_given_up_seconds_bucket{le="40",model_name="base"} 4',
      ]);
    });

    it('are told of once, and not where there was a token, where all came at once or where nobody waits', async () => {
      run();
      const answered = begun();
      answered.see(delta(1), performance.now());
      answered.end(later());
      begun().end(null);
      begun({ isAwaited: false }).end(later());
      begun().see(FINISH, later());
      expect(await givenUp()).toEqual([0, 0]);
      const left = begun();
      left.see(failure('internal_error'), later());
      left.end(later());
      expect(await givenUp()).toEqual([1, 0]);
    });
  });

  it('tell sequences that fail by the server’s fault from those that end by somebody else’s', async () => {
    const end = (event: BackendEvent) => {
      const sequence = begun();
      sequence.see(event, performance.now());
      sequence.end(performance.now());
    };
    for (const code of ['invalid_schema', 'constraint_failed', 'deadline_exceeded'] as const)
      end(failure(code));
    for (const code of ['numerical_error', 'engine_unavailable'] as const) end(failure(code));
    // As a server behind this one tells that it stopped: its client is told that the engine did.
    end({ ...FINISH, reason: 'abort' });
    end({ ...FINISH, reason: 'tool_calls' });
    const finished = (reason: string, count: number) =>
      `vllm:request_success_total{model_name="base",finished_reason="${reason}"} ${count}`;
    expect(await lines('vllm:request_success_total')).toEqual([
      ...[finished('stop', 1), finished('length', 0), finished('abort', 3), finished('error', 3)],
    ]);
    expect(await lines('vllm:e2e_request_latency_seconds_count')).toEqual([
      'vllm:e2e_request_latency_seconds_count{model_name="base"} 1',
    ]);
  });

  it('tell whether the configuration that was read last is valid', async () => {
    const tellsOf = async () => (await lines('polylora_config_last_reload_successful ')).join();
    expect(await tellsOf()).toBe('polylora_config_last_reload_successful 1');
    metrics.countConfigReload('refused');
    expect(await tellsOf()).toBe('polylora_config_last_reload_successful 0');
    metrics.countConfigReload('applied');
    expect(await tellsOf()).toBe('polylora_config_last_reload_successful 1');
  });

  describe('of a backend', () => {
    /** One that is ready or not, and was started again as often; what it holds is not for this server to tell. */
    const backendOf = (ready: boolean, restarts: number): Backend => {
      const starting = new StartingBackend();
      const computers = starting.computers.map((computer) => ({ ...computer, ready, restarts }));
      return Object.create(starting, {
        ready: { value: ready },
        computers: { value: computers },
        stats: { value: async () => null },
      });
    };
    const told = async (backend: Backend, start: string) => {
      const text = await metrics.render(backend, 'text');
      return text.split('\n').filter((line) => line.startsWith(start));
    };

    it('that dies again and again count its deaths though it never answers', async () => {
      for (const restarts of [0, 1, 4]) {
        expect(await told(backendOf(false, restarts), 'polylora_engine_re')).toEqual([
          'polylora_engine_ready 0',
          `polylora_engine_restarts_total ${restarts}`,
        ]);
      }
    });

    it('tell one that starts from one that is away', async () => {
      const states: [ready: boolean, starting: number][] = [
        [false, 1],
        [true, 0],
        [false, 0],
      ];
      for (const [ready, starting] of states)
        expect(await told(backendOf(ready, 0), 'polylora_engine_starting')).toEqual([
          `polylora_engine_starting ${starting}`,
        ]);
    });
  });

  it('are whole for each of those who ask at once', async () => {
    metrics.watchProcess('engine', { store: '/', data: '/tmp', models: '/' });
    metrics.setBudgets(() => new Map([['acme', 0.5]]));
    // One after the other begins while those before it wait for their disks.
    const all: Promise<string>[] = [];
    for (let i = 0; i < 100; i++) {
      all.push(metrics.render(new StartingBackend(), 'text'));
      await setImmediate();
    }
    for (const text of await Promise.all(all)) {
      for (const name of ['polylora_disk_free_bytes', 'polylora_disk_size_bytes'])
        for (const directory of ['store', 'data', 'models'])
          expect(text).toContain(`\n${name}{directory="${directory}"} `);
      expect(text).toContain('\npolylora_tenant_budget_used_ratio{tenant="acme"} 0.5');
    }
  });

  it('have the trace that a latency is of, where there is one and somebody asks for exemplars', async () => {
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    run();
    run({ traceId });
    const observed = Date.now() / 1000;
    // They are counted when they are asked for; they were observed before.
    await sleep(50);
    const buckets = await lines('vllm:time_to_first_token_seconds_bucket', 'openmetrics');
    const told = buckets.filter((line) => line.includes(`# {trace_id="${traceId}"} `));
    expect(told).toHaveLength(1);
    expect(Number(told[0]?.split(' ').at(-1))).toBeLessThanOrEqual(observed);
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
