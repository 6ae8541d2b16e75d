import {
  bars,
  buckets,
  choice,
  dashboard,
  heat,
  history,
  lines,
  number,
  percentiles,
  table,
} from './panels.mjs';
import { MODEL, rate, SERVER, sum } from './queries.mjs';

const V1 = `${SERVER}, route=~"/v1/.+"`;
/** @type {[null | number, string][]} */
const BUDGET = [
  [null, 'red'],
  [0, 'orange'],
  [0.25, 'green'],
];
/** @type {[null | number, string][]} */
const BURN = [
  [null, 'green'],
  [1, 'yellow'],
  [6, 'orange'],
  [14.4, 'red'],
];

/** Which alert it is, and what it is about. */
const ALERT_LABELS = [
  'alertname',
  'severity',
  'job',
  'instance',
  'model_name',
  'tenant',
  'category',
  'directory',
];
const GIVEN_UP = 'polylora_first_token_given_up_seconds';

/** @param {string} slo @param {string} window */
const burn = (slo, window) => `polylora:slo_burn:rate${window}{job=~"$job", slo="${slo}"}`;
/** @param {string} slo */
const kept = (slo) => `1 - max(polylora:slo_misses:ratio_rate1d{job=~"$job", slo="${slo}"})`;
/** @param {string} slo */
const left = (slo) => `min(polylora:slo_budget_left:ratio30d{job=~"$job", slo="${slo}"})`;
/** @param {string} slo */
const burns = (slo) =>
  ['5m', '1h', '6h', '3d'].map((window) => ({ expr: `max(${burn(slo, window)})`, legend: `over ${window}` }));

export const overview = dashboard({
  uid: 'polylora-overview',
  title: 'Overview',
  description: 'Whether users get what they were promised, how much they ask for, and what goes wrong.',
  variables: [choice('model_name', 'Model', 'vllm:num_requests_running{job=~"$job"}')],
  sections: [
    {
      title: 'Objectives',
      panels: [
        number({
          title: 'First tokens in time, 24 h',
          description:
            'Share of first tokens that came within 2.5 s over the last day; 99 % are promised. Those that somebody waited longer for in vain are among the others. The worst fleet, where several are chosen.',
          unit: 'percentunit',
          decimals: 2,
          thresholds: [
            [null, 'red'],
            [0.99, 'green'],
          ],
          queries: [{ expr: kept('first_token'), legend: 'in time' }],
        }),
        number({
          title: 'Their error budget, 30 d',
          description:
            'What is left of the 1 % of first tokens that may be late, or never come, within 30 days. Below 0 more were late than promised.',
          unit: 'percentunit',
          decimals: 0,
          thresholds: BUDGET,
          queries: [{ expr: left('first_token'), legend: 'left' }],
        }),
        number({
          title: 'Requests without a 5xx, 24 h',
          description:
            'Of the requests that compute something, the share that was not answered with a 5xx over the last day; 99.5 % are promised. What is refused with a 4xx is not counted, nor is 504: it is an answer to those who asked for a cached one or none.',
          unit: 'percentunit',
          decimals: 2,
          thresholds: [
            [null, 'red'],
            [0.995, 'green'],
          ],
          queries: [{ expr: kept('requests'), legend: 'answered' }],
        }),
        number({
          title: 'Their error budget, 30 d',
          description:
            'What is left of the 0.5 % of requests that may fail within 30 days. Below 0 more failed than promised.',
          unit: 'percentunit',
          decimals: 0,
          thresholds: BUDGET,
          queries: [{ expr: left('requests'), legend: 'left' }],
        }),
        table({
          title: 'Alerts that fire',
          description:
            'Alerts of dashboards/prometheus/rules/alerts.yml that fire now; docs/runbooks.md says what to do about each. Empty is good.',
          unit: 'none',
          width: 8,
          height: 5,
          by: ALERT_LABELS,
          columns: [{ title: 'Firing' }],
          queries: [
            {
              expr: `count by (${ALERT_LABELS.join(', ')}) (ALERTS{alertstate="firing", alertname=~"Polylora.+", job=~"$job"})`,
            },
          ],
        }),
        lines({
          title: 'Burn rate: first tokens',
          description:
            'How many times as fast as a month allows the error budget of first tokens is used up. Someone is called where 1 h and 5 m are above 14.4, or 6 h and 30 m above 6.',
          unit: 'none',
          width: 12,
          thresholds: BURN,
          marks: true,
          queries: burns('first_token'),
        }),
        lines({
          title: 'Burn rate: requests',
          description:
            'How many times as fast as a month allows the error budget of requests is used up. Someone is called where 1 h and 5 m are above 14.4, or 6 h and 30 m above 6.',
          unit: 'none',
          width: 12,
          thresholds: BURN,
          marks: true,
          queries: burns('requests'),
        }),
      ],
    },
    {
      title: 'Traffic',
      panels: [
        lines({
          title: 'Requests by route',
          description: 'HTTP requests a second, by the pattern of their route.',
          unit: 'reqps',
          stacked: true,
          queries: [{ expr: rate('polylora_http_requests_total', SERVER, 'route'), legend: '{{route}}' }],
        }),
        lines({
          title: 'Tokens',
          description:
            'Tokens a second: read of prompts, generated, and those of answers that the cache gave in place of generating them.',
          unit: 'suffix: tok/s',
          queries: [
            { expr: rate('vllm:prompt_tokens_total', MODEL), legend: 'prompt' },
            { expr: rate('vllm:generation_tokens_total', MODEL), legend: 'generated' },
            {
              expr: rate('polylora_cache_saved_tokens_total', `${SERVER}, kind="completion"`),
              legend: 'from the cache',
            },
          ],
        }),
        lines({
          title: 'Sequences in flight',
          description:
            'Sequences in the batch, and those that wait for their turn. A sequence is one answer to one prompt.',
          unit: 'short',
          stacked: true,
          queries: [
            { expr: sum('vllm:num_requests_running', MODEL), legend: 'running' },
            { expr: sum('vllm:num_requests_waiting', MODEL), legend: 'waiting' },
          ],
        }),
      ],
    },
    {
      title: 'Latency',
      panels: [
        lines({
          title: 'Time to first token',
          description:
            'From a sequence’s arrival to its first token, of those that somebody waits for. Points are requests that have a trace.',
          unit: 's',
          queries: percentiles('vllm:time_to_first_token_seconds', MODEL, { exemplars: true }),
        }),
        lines({
          title: 'Ended without a first token',
          description:
            'Sequences a second that somebody waited for and that ended before their first token, as the client left, the time limit passed or they failed. Those that had waited for more than 2.5 s missed the objective; the others count for nothing.',
          unit: 'suffix: /s',
          stacked: true,
          queries: [
            {
              expr: `${rate(`${GIVEN_UP}_count`, MODEL)} - ${rate(`${GIVEN_UP}_bucket`, `${MODEL}, le="2.5"`)}`,
              legend: 'after more than 2.5 s',
            },
            { expr: rate(`${GIVEN_UP}_bucket`, `${MODEL}, le="2.5"`), legend: 'sooner' },
          ],
        }),
        heat({
          title: 'Time to first token, all of them',
          description:
            'How many first tokens took how long. Two bands are two kinds of requests, which a percentile hides.',
          unit: 's',
          queries: buckets('vllm:time_to_first_token_seconds', MODEL),
        }),
        lines({
          title: 'Time between tokens',
          description: 'From one token of a stream to the next, as delivered (TPOT).',
          unit: 's',
          width: 12,
          queries: percentiles('vllm:inter_token_latency_seconds', MODEL),
        }),
        lines({
          title: 'Time per token of a whole answer',
          description:
            'Mean time per token after the first, for each finished sequence: how fast a reader sees an answer go on.',
          unit: 's',
          width: 12,
          queries: percentiles('vllm:request_time_per_output_token_seconds', MODEL),
        }),
        lines({
          title: 'Whole sequences',
          description: 'From a sequence’s arrival to its end. Points are requests that have a trace.',
          unit: 's',
          width: 12,
          queries: percentiles('vllm:e2e_request_latency_seconds', MODEL, { exemplars: true }),
        }),
        lines({
          title: 'Until an answer begins, by route (p95)',
          description:
            'From an HTTP request’s arrival to the head of its answer: of an answer that is not streamed, the whole. 95 of 100 take less.',
          unit: 's',
          width: 12,
          queries: [
            {
              expr: `histogram_quantile(0.95, sum by (le, route) (rate(polylora_http_request_seconds_bucket{${SERVER}}[$__rate_interval])))`,
              legend: '{{route}}',
            },
          ],
        }),
      ],
    },
    {
      title: 'What goes wrong',
      panels: [
        lines({
          title: 'Errors by code',
          description:
            'Requests a second that were refused or failed, by the code of docs/errors.md; what fails in the middle of a stream is among them.',
          unit: 'reqps',
          stacked: true,
          queries: [{ expr: rate('polylora_errors_total', SERVER, 'code'), legend: '{{code}}' }],
        }),
        lines({
          title: 'Share of requests by status',
          description: 'Of all requests to /v1, those that were not answered with 2xx.',
          unit: 'percentunit',
          queries: [
            {
              expr: `${rate('polylora_http_requests_total', `${V1}, status!~"2.."`, 'status')} / on () group_left () (${rate('polylora_http_requests_total', V1)} > 0)`,
              legend: '{{status}}',
            },
          ],
        }),
        lines({
          title: 'How sequences ended',
          description:
            'Sequences a second: `stop` by themselves, `length` at their limit, `error` by the server’s fault, `abort` by anybody else’s: the client left, its time limit passed, or what it asked for cannot be done.',
          unit: 'suffix: /s',
          stacked: true,
          series: ['stop', 'length', 'abort', 'error'],
          queries: [
            {
              expr: rate('vllm:request_success_total', MODEL, 'finished_reason'),
              legend: '{{finished_reason}}',
            },
          ],
        }),
      ],
    },
    {
      title: 'Servers',
      panels: [
        history({
          title: 'Backend',
          description:
            'Whether each server’s engine, or its upstream, takes requests. One that starts has not taken any since the server’s start.',
          unit: 'none',
          texts: { '-1': ['starts', 'yellow'], 0: ['away', 'red'], 1: ['ready', 'green'] },
          thresholds: [
            [null, 'yellow'],
            [0, 'red'],
            [1, 'green'],
          ],
          queries: [
            {
              expr: `polylora_engine_ready{${SERVER}} - polylora_engine_starting{${SERVER}}`,
              legend: '{{instance}}',
            },
          ],
        }),
        lines({
          title: 'Restarts and configurations',
          description:
            'How often within the last hour an engine’s process died and was started again, and changed configurations were taken or refused.',
          unit: 'short',
          queries: [
            {
              expr: `sum by (instance) (increase(polylora_engine_restarts_total{${SERVER}}[1h]))`,
              legend: '{{instance}} restarted',
            },
            {
              expr: `sum by (instance, result) (increase(polylora_config_reloads_total{${SERVER}}[1h]))`,
              legend: '{{instance}} configuration {{result}}',
            },
          ],
        }),
        table({
          title: 'Versions',
          description:
            'What runs where: Polylora’s version, Node’s, who computes (`engine`, or `upstream`: another server), and since when.',
          unit: 'none',
          by: ['instance', 'version', 'node', 'backend'],
          columns: [{ title: 'Up for', unit: 's' }],
          queries: [
            {
              expr: `time() - max by (instance, version, node, backend) (polylora_build_info{${SERVER}} * on (job, instance) group_left () process_start_time_seconds{${SERVER}})`,
            },
          ],
        }),
        bars({
          title: 'Disks',
          description:
            'How full the file systems are on which each server keeps models, its store (adapters and database) and its data (files, batches, the answer cache).',
          unit: 'percentunit',
          max: 1,
          thresholds: [
            [null, 'green'],
            [0.8, 'orange'],
            [0.95, 'red'],
          ],
          queries: [
            {
              expr: `1 - polylora_disk_free_bytes{${SERVER}} / polylora_disk_size_bytes{${SERVER}}`,
              legend: '{{instance}} {{directory}}',
            },
          ],
        }),
        lines({
          title: 'Memory of the gateway',
          description: 'What the gateway’s own process takes; the engine has one of its own.',
          unit: 'bytes',
          queries: [{ expr: `process_resident_memory_bytes{${SERVER}}`, legend: '{{instance}} memory' }],
        }),
        lines({
          title: 'Busyness of the gateway',
          description:
            'Processors that the gateway’s own process uses, and how late its event loop is (99 of 100 times less): what is late there delays every stream.',
          unit: 'short',
          queries: [
            {
              expr: `rate(process_cpu_seconds_total{${SERVER}}[$__rate_interval])`,
              legend: '{{instance}} processors',
            },
            { expr: `nodejs_eventloop_lag_p99_seconds{${SERVER}}`, legend: '{{instance}} event loop, s' },
          ],
        }),
      ],
    },
  ],
});
