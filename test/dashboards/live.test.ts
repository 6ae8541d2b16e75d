/** A real Prometheus beside a real gateway with work: whether every query of the dashboards and every rule has something to show. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Collector, startCollector } from '../support/collector.ts';
import { DASHBOARDS, filledIn, type NamedQuery, PANEL_QUERIES, RULE_QUERIES } from '../support/dashboards.ts';
import { FIXTURES } from '../support/engine.ts';
import { administer, type Gateway, START_MILLISECONDS, startGateway, until } from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';
import {
  configuredFor,
  HAS_PROMETHEUS,
  PROMTOOL,
  type Prometheus,
  startPrometheus,
} from '../support/prometheus.ts';

const TINY = join(FIXTURES, 'models', 'llama');
/** More than the pool has room for, so that they come and go. */
const ADAPTERS = Array.from({ length: 24 }, (_, index) => `adapter-${index}`);

/** Scraped every 15 s, and rules come every 30 s: for what is made of rules of rules that takes a while. */
const DATA_SECONDS = 240;

/** What is empty on a healthy server, why, and what of it must not be. */
const EMPTY: Readonly<Record<string, { readonly because: string; readonly parts: readonly string[] }>> = {
  PolyloraNoTargets: {
    because: 'The server is scraped, and nothing is absent.',
    parts: ['up{job="polylora"}'],
  },
};

if (!HAS_PROMETHEUS)
  console.warn('Prometheus is not installed (Debian: prometheus): queries of dashboards are not run.');

describe.skipIf(!HAS_PROMETHEUS)('beside a gateway with work', () => {
  const home = mkdtempSync(join(tmpdir(), 'polylora-monitored-'));
  const config = join(home, 'polylora.json');
  const stopped = new AbortController();
  let collector: Collector;
  let gateway: Gateway;
  let prometheus: Prometheus;
  let work: Promise<unknown>;
  /** Keys by tenant. */
  const keys: Record<string, string> = {};

  const configure = (maxQueued: string | number) =>
    writeFileSync(config, JSON.stringify({ maxQueued, cacheCategories: { factual: { checkedShare: 1 } } }));

  const clientOf = (tenant: string) =>
    new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: keys[tenant] ?? 'plk_unknown', maxRetries: 0 });

  beforeAll(async () => {
    for (const [index, name] of ADAPTERS.entries()) writeAdapter(join(home, 'adapters', name), index + 1);
    configure(4);
    collector = await startCollector();
    gateway = await startGateway({
      auth: 'keys',
      adapters: join(home, 'adapters'),
      args: [
        ...[
          '--model',
          TINY,
          '--weights',
          'f32',
          '--served-model-name',
          'tiny',
          '--pool-megabytes',
          '1',
          '--max-running',
          '6',
        ],
        ...['--threads', '1', '--embedding-threads', '1', '--embedding-start', 'start'],
        ...['--cache', 'semantic', '--cache-lookup-ms', '2000'],
        ...['--config', config, '--data-directory', join(home, 'data'), '--log-level', 'warn'],
        ...['--traces-endpoint', collector.url],
      ],
      env: { POLYLORA_OPERATOR_KEY: OPERATOR_KEY },
    });
    const limits: Record<string, object> = {
      acme: { budgets: { day: { tokens: 100_000_000 } } },
      umbra: { requests_per_minute: 3 },
      spent: { budgets: { day: { tokens: 60 } } },
    };
    for (const [id, limit] of Object.entries(limits)) {
      await administer(gateway, 'tenants', { id, limits: limit, weight: id === 'acme' ? 2 : 1 });
      keys[id] = (await administer(gateway, 'keys', { tenant: id })).key;
    }
    await operate('PUT', 'prices/*', { input: 1, output: 2 });
    prometheus = await startPrometheus(configuredFor(new URL(gateway.url).host, OPERATOR_KEY));
    work = Promise.all([...Array.from({ length: 3 }, generate), ask(), refuse(), administrate()]);
    await sleep(20_000);
    killEngine();
  }, START_MILLISECONDS);

  afterAll(async () => {
    stopped.abort();
    await work;
    await prometheus?.stop();
    await gateway?.stop();
    await collector?.stop();
    rmSync(home, { recursive: true, force: true });
  });

  async function operate(method: string, path: string, body?: object): Promise<unknown> {
    const response = await fetch(`${gateway.url}/admin/v1/${path}`, {
      method,
      headers: { authorization: `Bearer ${OPERATOR_KEY}`, 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  function killEngine(): void {
    const { pid } = gateway.child;
    const [engine = ''] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    process.kill(Number(engine), 'SIGKILL');
  }

  /** Does something again and again, whatever comes of it: that it is refused, or breaks off, is a part of it. */
  async function repeatedly(milliseconds: number, act: (round: number) => Promise<unknown>): Promise<void> {
    for (let round = 0; !stopped.signal.aborted; round++) {
      await act(round).catch(() => undefined);
      await sleep(milliseconds, undefined, { signal: stopped.signal }).catch(() => undefined);
    }
  }

  /** Streams of adapters and of the base model. */
  const generate = (_: unknown, worker: number) =>
    repeatedly(100, async (round) => {
      const stream = await clientOf('acme').completions.create(
        {
          model: ['tiny', ...ADAPTERS][(round + worker * 8) % 25] ?? 'tiny',
          prompt: `the ${'very '.repeat(60)} long story ${round % 4}`,
          ...{ max_tokens: 150, stream: true, temperature: 0 },
          ...({ ignore_eos: true } as object),
        },
        { headers: { 'cache-control': 'no-cache, no-store' } },
      );
      for await (const _chunk of stream);
    });

  /** What the answer cache has something to do with, grammars and embeddings. */
  const ask = () =>
    repeatedly(500, async (round) => {
      const client = clientOf('acme');
      const question = (content: string) =>
        client.chat.completions.create(
          { model: 'tiny', messages: [{ role: 'user', content }], temperature: 0, max_tokens: 16 },
          { headers: { 'x-polylora-cache-category': 'factual' } },
        );
      await question('What is the largest desert in South America?');
      await question("What's the largest desert in South America?");
      await Promise.all([question(`What is ${round} times 3?`), question(`What is ${round} times 3?`)]);
      await question('Is the desert in South America larger than the one in Asia?');
      await client.embeddings.create({ model: 'all-MiniLM-L6-v2', input: ['deserts', `and ${round}`] });
      await client.completions.create({
        ...{ model: 'tiny', prompt: 'Lyon or', max_tokens: 8 },
        ...({ guided_choice: ['Lyon', `Paris ${round}`] } as object),
      });
    });

  /** What does not work. */
  const refuse = () =>
    repeatedly(1_000, async () => {
      const asked = { model: 'tiny', prompt: 'hello', max_tokens: 20 };
      await Promise.allSettled([
        ...[1, 2].map(() => clientOf('umbra').completions.create(asked)),
        clientOf('spent').completions.create(asked),
        clientOf('acme').completions.create({ ...asked, model: 'nobody' }),
        clientOf('nobody').completions.create(asked),
        // More at once than there is room for.
        ...Array.from({ length: 16 }, () =>
          clientOf('acme').completions.create({ ...asked, max_tokens: 100 }),
        ),
      ]);
    });

  /** What is seldom done. */
  const administrate = () =>
    repeatedly(8_000, async (round) => {
      // Refused for longer than rules rest: turns that are as long as theirs could be missed by each.
      configure(round % 8 < 2 ? 4 + (round % 4) : 'many');
      const client = clientOf('acme');
      const lines = ['tiny', 'nobody'].map((model, line) =>
        JSON.stringify({
          ...{ custom_id: String(line), method: 'POST', url: '/v1/completions' },
          body: { model, prompt: 'a line', max_tokens: 4 },
        }),
      );
      const file = await client.files.create({
        purpose: 'batch',
        file: await toFile(Buffer.from(`${lines.join('\n')}\n`), 'lines.jsonl'),
      });
      await client.batches.create({
        ...{ input_file_id: file.id, endpoint: '/v1/completions', completion_window: '24h' },
      });
      const { data } = (await operate('GET', 'cache/entries?category=factual&limit=1')) as {
        data: { id: string }[];
      };
      if (data[0] !== undefined) await operate('POST', `cache/entries/${data[0].id}/report`);
      if (round % 2 === 1) await operate('POST', 'cache/purge', { category: 'factual' });
    });

  /** Whether it has a number to show. @throws Error where Prometheus does not understand it */
  async function hasData(expr: string): Promise<boolean> {
    const { result } = await prometheus.ask<{ result: { value: [number, string] }[] }>('query', {
      query: expr,
    });
    return result.some(({ value: [, text] }) => Number.isFinite(Number(text)));
  }

  /** Waits until all have data. @returns those that have none */
  async function withoutData(queries: readonly NamedQuery[]): Promise<string[]> {
    const deadline = performance.now() + DATA_SECONDS * 1000;
    let left = queries.flatMap((query) => {
      const { parts } = EMPTY[query.where] ?? {};
      return parts === undefined ? [query] : parts.map((expr) => ({ where: query.where, expr }));
    });
    for (;;) {
      const found = await Promise.all(left.map(({ expr }) => hasData(expr)));
      left = left.filter((_, index) => !found[index]);
      if (left.length === 0 || performance.now() > deadline)
        return left.map(({ where, expr }) => `${where}: ${expr}`);
      await sleep(3_000);
    }
  }

  it(
    'every panel has something to show',
    async () => {
      const queries = PANEL_QUERIES.map(({ where, expr }) => ({ where, expr: filledIn(expr) }));
      expect(await withoutData(queries)).toEqual([]);
    },
    START_MILLISECONDS,
  );

  it(
    'points of latency panels lead to traces that a collector has',
    async () => {
      const queries = PANEL_QUERIES.filter(({ hasExemplars }) => hasExemplars);
      expect(queries.length).toBeGreaterThan(0);
      const ids = async (expr: string) => {
        const now = Date.now() / 1000;
        const found = await prometheus.ask<{ exemplars: { labels: { trace_id?: string } }[] }[]>(
          'query_exemplars',
          { query: filledIn(expr), start: String(now - 600), end: String(now) },
        );
        return found.flatMap(({ exemplars }) => exemplars.map(({ labels }) => labels.trace_id));
      };
      for (const { where, expr } of queries)
        await until(async () => {
          const traced = new Set(collector.spans.map(({ traceId }) => traceId));
          return (await ids(expr)).some((id) => id !== undefined && traced.has(id));
        }, 90).catch((error: unknown) => {
          throw new Error(`${where}: no exemplar of a trace that was sent`, { cause: error });
        });
    },
    START_MILLISECONDS,
  );

  it(
    'every variable has values to choose from',
    async () => {
      for (const [file, { templating }] of DASHBOARDS)
        for (const { name, definition } of templating.list) {
          const [, metric, label] = /^label_values\((.*), (\w+)\)$/.exec(definition ?? '') ?? [];
          if (metric === undefined) continue;
          const values = await prometheus.ask<string[]>(`label/${label}/values`, {
            'match[]': filledIn(metric),
          });
          expect(values.length, `${file}: ${name}`).toBeGreaterThan(0);
        }
    },
    START_MILLISECONDS,
  );

  it(
    'every rule has what it is made of: comparisons tell yes or no in place of keeping what is true',
    async () => {
      const queries = RULE_QUERIES.map(({ where, expr }) => ({
        where,
        expr: where.startsWith('Polylora') ? comparisonsTold(expr) : expr,
      }));
      expect(await withoutData(queries)).toEqual([]);
      const { groups } = await prometheus.ask<{ groups: { rules: { name: string; health: string }[] }[] }>(
        'rules',
      );
      expect(groups.flatMap(({ rules }) => rules).filter(({ health }) => health !== 'ok')).toEqual([]);
    },
    START_MILLISECONDS,
  );

  it(
    'alerts fire for what has happened, and not for what has not',
    async () => {
      // Since it began: a configuration that is refused is followed by one that is not.
      const query = 'max by (alertname) (max_over_time(ALERTS{alertstate="firing"}[1h]))';
      const fired = async () => {
        const { result } = await prometheus.ask<{ result: { metric: { alertname: string } }[] }>('query', {
          query,
        });
        return new Set(result.map(({ metric }) => metric.alertname));
      };
      const awaited = ['PolyloraEngineRestarted', 'PolyloraConfigRefused', 'PolyloraBudgetSpent'];
      let names = new Set<string>();
      const haveFired = async () => {
        names = await fired();
        return awaited.every((name) => names.has(name));
      };
      await until(haveFired, 120).catch(() => {});
      expect(awaited.filter((name) => !names.has(name))).toEqual([]);
      for (const name of [
        'PolyloraTargetDown',
        'PolyloraNoTargets',
        'PolyloraEngineCrashLoop',
        'PolyloraCacheStoreAway',
      ])
        expect(names).not.toContain(name);
    },
    START_MILLISECONDS,
  );

  it(
    'Prometheus’ own check finds nothing wrong with the names of metrics but vLLM’s',
    async () => {
      await until(async () => (await fetch(`${gateway.url}/readyz`)).ok, 60);
      const headers = { authorization: `Bearer ${OPERATOR_KEY}` };
      const text = await (await fetch(`${gateway.url}/metrics`, { headers })).text();
      const { stdout, stderr } = spawnSync(PROMTOOL, ['check', 'metrics'], { input: text, encoding: 'utf8' });
      const problems = `${stdout}${stderr}`.split('\n').filter((line) => line !== '');
      const colon = /^vllm:\w+ metric names should not contain ':'$/;
      expect(problems.filter((line) => !colon.test(line))).toEqual([
        'vllm:iteration_tokens_total non-counter metrics should not have "_total" suffix',
      ]);
      expect(problems).toContain("vllm:num_requests_running metric names should not contain ':'");
    },
    START_MILLISECONDS,
  );
});

/** Comparisons of an expression give 0 or 1. */
function comparisonsTold(expr: string): string {
  return expr
    .split(/(\{[^}]*\})/)
    .map((part) => (part.startsWith('{') ? part : part.replaceAll(/(==|>=|<=|>|<)/g, '$1 bool')))
    .join('');
}

/** The fixture's adapter, of a strength of its own. */
function writeAdapter(directory: string, alpha: number): void {
  cpSync(join(TINY, 'adapter'), directory, { recursive: true });
  const file = join(directory, 'adapter_config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as object;
  writeFileSync(file, JSON.stringify({ ...config, lora_alpha: alpha }));
}
