/** Live figures in words: a screen that fits a terminal, and a line for each second. */
import type { SnapshotJson } from './live-json.ts';
import { printable, table, timeText } from './text.ts';

const LABEL_WIDTH = 14;
const GAP = '   ';
/** A pool's pages, in the order in which they are drawn. */
const PAGE_KINDS = ['kv', 'prefix', 'adapter', 'free'] as const;
const PAGE_SIGNS = { kv: '#', prefix: '+', adapter: '@', free: '.' } as const;
const MOST_BAR = 60;
const BARS = [...' ▁▂▃▄▅▆▇█'];

export interface Screen {
  readonly columns: number;
  /** Lines that there are room for. */
  readonly rows: number;
}

/**
 * A screen's lines, none of them wider than it, and no more than it has.
 * @param history the oldest first, with `now` last
 * @param notice said above the figures, where there are no newer ones and why
 */
export function screenLines(
  now: SnapshotJson,
  history: readonly SnapshotJson[],
  origin: string,
  { columns, rows }: Screen,
  notice: string | null = null,
): string[] {
  const lines = [
    ...wrapped('polylora top', [origin, timeText(now.at), stateOf(now, notice)], columns),
    ...(notice === null ? [] : [printable(notice)]),
    '',
    ...figures(now).flatMap(([label, cells]) => wrapped(label, cells, columns)),
    ...poolLines(now, columns),
    ...historyLine(history, columns),
    '',
    ...tenantLines(now),
  ];
  return lines.slice(0, Math.max(1, rows)).map((line) => line.slice(0, Math.max(1, columns)));
}

function stateOf({ ready }: SnapshotJson, notice: string | null): string {
  if (notice !== null) return 'NOT CONNECTED';
  return ready ? 'ready' : 'NOT READY';
}

function figures(now: SnapshotJson): [label: string, cells: string[]][] {
  const { rates } = now;
  const lookups = rates.cache_lookups;
  const cached = lookups === 0 ? [] : [`${percent(rates.cache_hits / lookups)} of ${rate(lookups)} found`];
  const adapters =
    now.resident_adapters === null
      ? []
      : [`${number(now.resident_adapters)} in memory`, `${number(now.running_adapters ?? 0)} running`];
  const all: [string, string[]][] = [
    ['sequences', [`${number(now.running)} running`, `${number(now.waiting)} waiting`]],
    [
      'requests',
      [rate(rates.requests), `${rate(rates.errors)} failed`, `${number(now.in_flight)} in flight`],
    ],
    ['tokens', [`${rate(rates.prompt_tokens)} read`, `${rate(rates.generation_tokens)} generated`]],
    ['first token', percentilesText(now.first_token_ms)],
    ['next token', percentilesText(now.inter_token_ms)],
    ['in the queue', percentilesText(now.queue_ms)],
    ['cache', cached],
    ['adapters', adapters],
  ];
  return all.filter(([, cells]) => cells.length > 0);
}

function poolLines({ pages }: SnapshotJson, columns: number): string[] {
  if (pages === null || pages.total === 0) return [];
  const width = Math.max(1, Math.min(MOST_BAR, columns - LABEL_WIDTH - 2));
  let [drawn, seen] = ['', 0];
  for (const kind of PAGE_KINDS) {
    seen += pages[kind];
    drawn += PAGE_SIGNS[kind].repeat(Math.round((seen / pages.total) * width) - drawn.length);
  }
  const cells = PAGE_KINDS.map((kind) => `${PAGE_SIGNS[kind]} ${kind} ${number(pages[kind])}`);
  return [...wrapped('pages', [`[${drawn}]`], columns), ...wrapped('', cells, columns)];
}

/** Tokens generated in the last seconds. */
function historyLine(history: readonly SnapshotJson[], columns: number): string[] {
  const width = Math.min(MOST_BAR, columns - LABEL_WIDTH);
  const rates = history.slice(-Math.max(1, width)).map(({ rates }) => rates.generation_tokens);
  const most = Math.max(...rates);
  if (width < 10 || rates.length < 2 || most === 0) return [];
  const bars = rates.map((each) => BARS[Math.ceil((each / most) * (BARS.length - 1))] ?? '');
  return [
    '',
    ...wrapped('generated', [bars.join('')], columns),
    ...wrapped('', [`most: ${rate(most)}`], columns),
  ];
}

function tenantLines({ tenants }: SnapshotJson): string[] {
  if (tenants.length === 0) return [];
  const rows = tenants.map(({ tenant, sequences, service, weight }) => [
    tenant,
    number(sequences),
    service === null ? '-' : number(Math.round(service)),
    String(weight),
  ]);
  return table([['TENANT', 'SEQUENCES', 'SERVICE', 'WEIGHT'], ...rows])
    .trimEnd()
    .split('\n');
}

/** A label and what is said beside it, going on in the next line where it is too long. */
function wrapped(label: string, cells: readonly string[], columns: number): string[] {
  const lines: string[] = [];
  let line = label.padEnd(LABEL_WIDTH);
  let isEmpty = true;
  for (const cell of cells.map(printable)) {
    if (!isEmpty && line.length + GAP.length + cell.length > columns) {
      lines.push(line);
      [line, isEmpty] = [' '.repeat(LABEL_WIDTH), true];
    }
    line += isEmpty ? cell : GAP + cell;
    isEmpty = false;
  }
  return [...lines, line.trimEnd()];
}

const COLUMNS: readonly [title: string, width: number, of: (now: SnapshotJson) => string][] = [
  ['TIME', 20, ({ at }) => timeText(at)],
  ['READY', 5, ({ ready }) => (ready ? 'yes' : 'no')],
  ['RUNNING', 7, ({ running }) => plain(running)],
  ['WAITING', 7, ({ waiting }) => plain(waiting)],
  ['REQUESTS/S', 10, ({ rates }) => plain(rates.requests)],
  ['ERRORS/S', 8, ({ rates }) => plain(rates.errors)],
  ['READ/S', 8, ({ rates }) => plain(rates.prompt_tokens)],
  ['GENERATED/S', 11, ({ rates }) => plain(rates.generation_tokens)],
  ['FIRST P95', 9, ({ first_token_ms: times }) => (times === null ? '-' : time(times.p95))],
  ['NEXT P95', 9, ({ inter_token_ms: times }) => (times === null ? '-' : time(times.p95))],
  ['FREE PAGES', 10, ({ pages }) => (pages === null ? '-' : percent(pages.free / pages.total))],
];

/** The titles over `secondLine`. */
export function titleLine(): string {
  return columnsText(({ title }) => title);
}

/** A second in one line, in columns that do not move, for a log or a pipe. */
export function secondLine(now: SnapshotJson): string {
  return columnsText(({ of }) => of(now));
}

function columnsText(text: (column: { title: string; of: (now: SnapshotJson) => string }) => string): string {
  const cells = COLUMNS.map(([title, width, of], index) =>
    index === 0 ? text({ title, of }).padEnd(width) : text({ title, of }).padStart(width),
  );
  return cells.join('  ').trimEnd();
}

function percentilesText(times: SnapshotJson['first_token_ms']): string[] {
  if (times === null) return ['-'];
  return [`half ${time(times.p50)}`, `95 % ${time(times.p95)}`, `99 % ${time(times.p99)}`];
}

function time(milliseconds: number): string {
  return milliseconds < 10_000
    ? `${plain(Number(milliseconds.toPrecision(3)))} ms`
    : `${(milliseconds / 1000).toFixed(1)} s`;
}

function percent(share: number): string {
  return Number.isFinite(share) ? `${Math.round(share * 100)} %` : '-';
}

function rate(perSecond: number): string {
  return `${number(perSecond)}/s`;
}

/** Small ones with a digit more. */
function number(value: number): string {
  return value.toLocaleString('en', { maximumFractionDigits: value < 100 ? 1 : 0 });
}

function plain(value: number): string {
  return String(Number(value.toFixed(1)));
}
