/**
 * Metrics as text: Prometheus' own format, and OpenMetrics, which has exemplars. prom-client writes either, but of a registry that was
 * made for it alone; scrapers say with each request which one they read.
 */

export type ExpositionFormat = 'text' | 'openmetrics';

export const CONTENT_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

/** As prom-client gives it. */
export interface Sample {
  readonly value: number;
  readonly labels?: Labels;
  /** Where it is not the metric's: with `_bucket`, `_sum` or `_count`. */
  readonly metricName?: string;
  readonly exemplar?: {
    readonly labelSet: Labels;
    readonly value: number;
    /** Seconds since 1970. */
    readonly timestamp: number;
  } | null;
}
type Labels = Readonly<Record<string, string | number | undefined>>;

export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly samples: readonly Sample[];
}

const TOTAL = '_total';

/** The format that a scraper wants, by its `accept` header; text where it does not say. */
export function formatFor(accept: string | undefined): ExpositionFormat {
  const wanted = (accept ?? '').split(',').map((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith('q='));
    return { type, weight: weight === undefined ? 1 : Number(weight.slice(2)) };
  });
  const weightOf = (type: string) =>
    Math.max(0, ...wanted.filter((range) => range.type === type).map(({ weight }) => weight));
  const open = weightOf('application/openmetrics-text');
  return open > 0 && open >= weightOf('text/plain') ? 'openmetrics' : 'text';
}

/** Writes families of metrics. */
export function expose(families: readonly Family[], format: ExpositionFormat): string {
  const isOpen = format === 'openmetrics';
  const lines: string[] = [];
  for (const { name, help, type, samples } of families) {
    // OpenMetrics names a counter without the ending of its sample.
    const family = isOpen && type === 'counter' ? withoutTotal(name) : name;
    lines.push(`# HELP ${family} ${escapeHelp(help, isOpen)}`, `# TYPE ${family} ${type}`);
    for (const sample of samples) lines.push(lineOf(name, sample, isOpen));
  }
  if (isOpen) lines.push('# EOF');
  return `${lines.join('\n')}\n`;
}

function lineOf(
  name: string,
  { metricName = name, labels, value, exemplar }: Sample,
  isOpen: boolean,
): string {
  const all = written(labels);
  const line = `${metricName}${all === '' ? '' : `{${all.slice(0, -1)}}`} ${numberOf(value)}`;
  if (!isOpen || exemplar == null) return line;
  return `${line} # {${written(exemplar.labelSet).slice(0, -1)}} ${numberOf(exemplar.value)} ${exemplar.timestamp}`;
}

/** Each with a comma behind it. */
function written(labels: Labels | undefined): string {
  let text = '';
  for (const name in labels) text += `${name}="${escapeLabel(String(labels[name]))}",`;
  return text;
}

function numberOf(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value);
}

function withoutTotal(name: string): string {
  return name.endsWith(TOTAL) ? name.slice(0, -TOTAL.length) : name;
}

function escapeLabel(text: string): string {
  return /[\\"\n]/.test(text)
    ? text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
    : text;
}

function escapeHelp(text: string, isOpen: boolean): string {
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
  return isOpen ? escaped.replaceAll('"', '\\"') : escaped;
}
