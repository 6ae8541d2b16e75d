/** The repository's dashboards and rules, and what they ask for. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { MetricKey } from '../../gateway/src/metrics/definitions.ts';
import { PROMETHEUS_FILES } from './prometheus.ts';

export const GRAFANA_FILES = join(PROMETHEUS_FILES, '..', 'grafana');
export const DASHBOARD_FILES = join(GRAFANA_FILES, 'dashboards');

/** Metrics that no panel and no rule is about, and why that is right. */
export const UNUSED: Partial<Record<MetricKey, string>> = {
  cacheConfig: 'Endpoint pickers read it by themselves; the pool’s pages have a panel.',
};

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly {
    readonly refId: string;
    readonly expr: string;
    readonly legendFormat?: string;
    readonly exemplar?: boolean;
    readonly datasource: { readonly uid: string };
  }[];
  readonly panels?: readonly Panel[];
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly schemaVersion: number;
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly type: string; readonly definition?: string }[];
  };
  readonly annotations: { readonly list: readonly { readonly name: string; readonly expr: string }[] };
}

interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Every dashboard, by its file's name. */
export const DASHBOARDS: ReadonlyMap<string, Dashboard> = new Map(
  readdirSync(DASHBOARD_FILES).map((name) => [
    name,
    JSON.parse(readFileSync(join(DASHBOARD_FILES, name), 'utf8')) as Dashboard,
  ]),
);

/** Every rule of Prometheus. */
export const RULES: readonly Rule[] = readdirSync(join(PROMETHEUS_FILES, 'rules')).flatMap((name) => {
  const text = readFileSync(join(PROMETHEUS_FILES, 'rules', name), 'utf8');
  const { groups } = parse(text) as { groups: { rules: Rule[] }[] };
  return groups.flatMap(({ rules }) => rules);
});

/** All panels, those of collapsed rows among them. */
export function panelsOf({ panels }: Pick<Dashboard, 'panels'>): Panel[] {
  return panels.flatMap((panel) => [panel, ...panelsOf({ panels: panel.panels ?? [] })]);
}

export interface NamedQuery {
  /** Where it is, for people. */
  readonly where: string;
  readonly expr: string;
  /** Whether its points' traces are asked for as well. */
  readonly hasExemplars?: boolean;
}

/** What panels and annotations ask Prometheus, as it is written there. */
export const PANEL_QUERIES: readonly NamedQuery[] = [...DASHBOARDS].flatMap(([file, dashboard]) => [
  ...panelsOf(dashboard).flatMap(({ title, targets = [] }) =>
    targets.map(({ refId, expr, exemplar = false }) => ({
      ...{ where: `${file}: ${title} (${refId})`, expr },
      hasExemplars: exemplar,
    })),
  ),
  ...dashboard.annotations.list.map(({ name, expr }) => ({ where: `${file}: annotation ${name}`, expr })),
]);

export const RULE_QUERIES: readonly NamedQuery[] = RULES.map(({ record, alert, expr, labels }) => ({
  where: alert ?? `${record}${JSON.stringify(labels ?? {})}`,
  expr,
}));

/** Words of PromQL that are no metric. */
const KEYWORDS = new Set(
  'and or unless on ignoring by without group_left group_right offset bool inf nan'.split(' '),
);

/** The names of metrics that an expression has. */
export function metricsIn(expr: string): Set<string> {
  const bare = expr
    .replaceAll(/"(?:[^"\\]|\\.)*"/g, '""')
    .replaceAll(/\{[^}]*\}/g, '')
    .replaceAll(/\[[^\]]*\]/g, '')
    .replaceAll(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, '');
  const names = [...bare.matchAll(/(?<![\w.])[a-zA-Z_:][\w:]*(?!\w|:|\s*\()/g)].map(([name]) => name);
  return new Set(names.filter((name) => !KEYWORDS.has(name.toLowerCase())));
}

/** The labels by which an expression chooses, by the metric that it chooses of. */
export function labelsIn(expr: string): { metric: string; labels: string[] }[] {
  return [...expr.matchAll(/([a-zA-Z_:][\w:]*)\{([^}]*)\}/g)].map(([, metric = '', matchers = '']) => ({
    metric,
    labels: [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"/g)].map(([, label = '']) => label),
  }));
}

/** A panel's query as Grafana asks it, with everything chosen. */
export function filledIn(expr: string): string {
  return expr
    .replaceAll('$__rate_interval', '1m')
    .replaceAll('$__range', '5m')
    .replaceAll(/"\$[a-z_]+"/g, '".+"');
}
