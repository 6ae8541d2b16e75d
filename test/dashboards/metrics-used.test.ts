/** Metrics against panels and rules: none that nobody looks at, none that is not there. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { METRICS } from '../../gateway/src/metrics/definitions.ts';
import { FOLLOWED_ROUTES } from '../../gateway/src/requests/request-record.ts';
import {
  DASHBOARDS,
  labelsIn,
  metricsIn,
  type NamedQuery,
  PANEL_QUERIES,
  RULE_QUERIES,
  RULES,
  UNUSED,
} from '../support/dashboards.ts';
import { PROMETHEUS_FILES } from '../support/prometheus.ts';

/** A declared metric's series, as they are called. */
function seriesOf({ name, kind }: { name: string; kind: string }): string[] {
  return kind === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name];
}

const LABELS = new Map<string, readonly string[]>(
  Object.values(METRICS).flatMap((metric) =>
    seriesOf(metric).map((series) => [
      series,
      [...metric.labels, ...(series.endsWith('_bucket') ? ['le'] : [])],
    ]),
  ),
);
const RECORDED = new Set(RULES.flatMap(({ record }) => record ?? []));
/** What prom-client tells of the process, and Prometheus of itself. */
const OTHERS = new Set([
  'up',
  'ALERTS',
  'process_start_time_seconds',
  'process_cpu_seconds_total',
  'process_resident_memory_bytes',
  'nodejs_eventloop_lag_p99_seconds',
]);

const VARIABLES: readonly NamedQuery[] = [...DASHBOARDS].flatMap(([file, { templating }]) =>
  templating.list.flatMap(({ name, definition }) => {
    const [, metric] = /^label_values\((.*), \w+\)$/.exec(definition ?? '') ?? [];
    return metric === undefined ? [] : [{ where: `${file}: variable ${name}`, expr: metric }];
  }),
);
const QUERIES = [...PANEL_QUERIES, ...RULE_QUERIES, ...VARIABLES];

it('the words of an expression are told apart', () => {
  const expr =
    'histogram_quantile(0.9, sum by (le, tenant) (rate(a:b_bucket{x="y", z=~"or"}[5m]))) > on (job) group_left () 2 * up offset 5m or absent(c)';
  expect([...metricsIn(expr)]).toEqual(['a:b_bucket', 'up', 'c']);
  expect(labelsIn(expr)).toEqual([{ metric: 'a:b_bucket', labels: ['x', 'z'] }]);
});

it('no panel, rule or variable asks for what is not declared', () => {
  const unknown = QUERIES.flatMap(({ where, expr }) =>
    [...metricsIn(expr)]
      .filter((name) => !LABELS.has(name) && !RECORDED.has(name) && !OTHERS.has(name))
      .map((name) => `${where}: ${name}`),
  );
  expect(unknown).toEqual([]);
});

it('none chooses by a label that a metric does not have', () => {
  const unknown = QUERIES.flatMap(({ where, expr }) =>
    labelsIn(expr).flatMap(({ metric, labels }) => {
      const own = LABELS.get(metric);
      if (own === undefined) return [];
      return labels
        .filter((label) => ![...own, 'job', 'instance'].includes(label))
        .map((label) => `${where}: ${metric}{${label}}`);
    }),
  );
  expect(unknown).toEqual([]);
});

it('every declared metric is looked at, or it is said why not', () => {
  const used = new Set(QUERIES.flatMap(({ expr }) => [...metricsIn(expr)]));
  const unused = Object.entries(METRICS)
    .filter(([, metric]) => !seriesOf(metric).some((series) => used.has(series)))
    .map(([key]) => key);
  expect(unused).toEqual(Object.keys(UNUSED));
  for (const [key, reason] of Object.entries(UNUSED)) expect(reason, key).toMatch(/\.$/);
});

it('rules about requests are about those that compute something, all of them', () => {
  const chosen = RULES.flatMap(({ expr }) => [
    ...expr.matchAll(/polylora_http_requests_total\{method="POST", route=~"([^"]+)"/g),
  ]);
  expect(chosen).not.toEqual([]);
  expect(
    RULES.map(({ expr }) => expr)
      .join('')
      .match(/polylora_http_requests_total\{(?!method)/),
  ).toBeNull();
  for (const [, route] of chosen) {
    const routes = new RegExp(`^(?:${route})$`);
    expect([...FOLLOWED_ROUTES.keys()].filter((path) => !routes.test(path))).toEqual([]);
    expect(['/v1/models', '/v1/chat/completions/:id', '/v1/files'].some((path) => routes.test(path))).toBe(
      false,
    );
  }
});

it('every recording is used', () => {
  const used = new Set(QUERIES.flatMap(({ expr }) => [...metricsIn(expr)]));
  expect([...RECORDED].filter((name) => !used.has(name))).toEqual([]);
});

describe('alerts', () => {
  const alerts = RULES.filter(({ alert }) => alert !== undefined);
  const runbooks = readFileSync(join(PROMETHEUS_FILES, '..', '..', 'docs', 'runbooks.md'), 'utf8');
  const headings = [...runbooks.matchAll(/^## (\w+)$/gm)].map(([, heading]) => heading);

  it('have a severity, say what is wrong and where, and lead to what to do', () => {
    for (const { alert = '', labels, annotations } of alerts) {
      expect(['critical', 'warning', 'info'], alert).toContain(labels?.severity);
      expect(annotations?.summary, alert).toMatch(/./);
      expect(annotations?.description, alert).toMatch(/\.$/);
      if (alert !== 'PolyloraNoTargets') expect(annotations?.description, alert).toContain('$labels.');
      expect(annotations?.runbook_url).toBe(`docs/runbooks.md#${alert.toLowerCase()}`);
      expect(headings).toContain(alert);
    }
  });

  it('and there is none for what is no alert', () => {
    expect(headings.toSorted()).toEqual(alerts.map(({ alert }) => alert).toSorted());
  });
});
