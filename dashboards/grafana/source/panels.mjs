/** Panels and dashboards, as all of them look: Grafana's own builders with our choices made. */

import * as bargauge from '@grafana/grafana-foundation-sdk/bargauge';
import {
  BigValueColorMode,
  BigValueGraphMode,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizOrientation,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import {
  AnnotationQueryBuilder,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  FieldColorBuilder,
  FieldColorModeId,
  MappingType,
  QueryVariableBuilder,
  RowBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import * as heatmap from '@grafana/grafana-foundation-sdk/heatmap';
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';
import * as stats from '@grafana/grafana-foundation-sdk/stat';
import * as statushistory from '@grafana/grafana-foundation-sdk/statushistory';
import * as tables from '@grafana/grafana-foundation-sdk/table';
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';

/**
 * @typedef {object} Query
 * @property {string} expr
 * @property {string} [legend]
 * @property {boolean} [exemplars] whether points with traces are shown
 *
 * @typedef {object} Look what all panels have
 * @property {string} title
 * @property {string} description
 * @property {string} unit as Grafana names it
 * @property {Query[]} queries
 * @property {number} [width] of 24; 8 without it
 * @property {number} [height] 8 without it
 * @property {number} [min]
 * @property {number} [max]
 * @property {number} [decimals]
 * @property {[from: number | null, color: string][]} [thresholds]
 *
 * @typedef {object} Built
 * @property {{ span(width: number): any }} panel
 * @property {number} width
 * @property {number} height
 */

export const DATASOURCE = { type: 'prometheus', uid: `\${datasource}` };

/** What is called so has this color, on every dashboard; all else has one by its name, the same everywhere. */
const COLORS = {
  p50: 'blue',
  p95: 'orange',
  p99: 'red',
  // What happened to requests
  ok: 'green',
  limited: 'yellow',
  refused: 'orange',
  left: '#8e8e8e',
  failed: 'red',
  stop: 'green',
  length: 'blue',
  abort: '#8e8e8e',
  error: 'red',
  completed: 'green',
  // Tokens
  prompt: 'purple',
  generated: 'green',
  'from the cache': 'blue',
  drafted: 'purple',
  right: 'green',
  // Pages
  kv: 'blue',
  prefix: 'purple',
  adapter: 'orange',
  idle_adapter: 'light-orange',
  free: '#8e8e8e',
  // Kernels
  projections: 'blue',
  attention: 'orange',
  head: 'purple',
  sampling: 'green',
  graph: '#8e8e8e',
  // The batch
  running: 'green',
  waiting: 'orange',
  // The answer cache
  hit_exact: 'green',
  hit_similar: 'blue',
  hit_shared: 'purple',
  miss: 'orange',
  bypass: '#8e8e8e',
  // Objectives
  'first tokens': 'blue',
  requests: 'purple',
};

/** @param {Query} query @param {number} index */
function target({ expr, legend, exemplars = false }, index) {
  const made = new DataqueryBuilder()
    .datasource(DATASOURCE)
    .refId(String.fromCharCode(65 + index))
    .expr(expr)
    .range();
  if (exemplars) made.exemplar(true);
  return legend === undefined ? made : made.legendFormat(legend);
}

/**
 * What all kinds of panels are told.
 * @template {timeseries.PanelBuilder | stats.PanelBuilder | bargauge.PanelBuilder | statushistory.PanelBuilder | heatmap.PanelBuilder | tables.PanelBuilder} P
 * @param {P} panel @param {Look} look
 * @returns {P}
 */
function dressed(panel, { title, description, unit, queries, min, max, decimals, thresholds }) {
  panel.title(title).description(description).datasource(DATASOURCE).unit(unit);
  panel.targets(queries.map(target));
  if (min !== undefined) panel.min(min);
  if (max !== undefined) panel.max(max);
  if (decimals !== undefined) panel.decimals(decimals);
  if (thresholds !== undefined) {
    const steps = thresholds.map(([value, color]) => ({ value, color }));
    panel.thresholds(new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps));
  }
  return panel;
}

/** @param {any} panel @param {Look} look @returns {Built} */
const built = (panel, { width = 8, height = 8 }) => ({ panel, width, height });

/** @param {string} color */
const fixed = (color) => ({ id: 'color', value: { mode: FieldColorModeId.Fixed, fixedColor: color } });

/**
 * Lines over time.
 * @param {Look & { stacked?: boolean, area?: boolean, band?: string, series?: readonly (keyof typeof COLORS)[], marks?: boolean }} look
 *   series: names that come from labels and have colors of their own; band: series whose names match are thin and dashed; marks: thresholds are
 *   drawn
 */
export function lines(look) {
  const { queries, stacked = false, area = stacked, band, marks = false, series = [] } = look;
  const panel = dressed(new timeseries.PanelBuilder(), { min: 0, ...look })
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.PaletteClassicByName))
    .lineWidth(stacked ? 1 : 2)
    .fillOpacity(stacked ? 60 : area ? 15 : 0)
    .showPoints(VisibilityMode.Never)
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.Table)
        .placement(LegendPlacement.Bottom)
        .showLegend(true)
        .calcs(['mean', 'lastNotNull'])
        .sortBy('Mean')
        .sortDesc(true),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending));
  if (stacked) panel.stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group('A'));
  if (marks)
    panel.thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed));
  const names = new Set([...series, ...queries.map(({ legend }) => legend ?? '')]);
  for (const [name, color] of Object.entries(COLORS))
    if (names.has(name)) panel.overrideByName(name, [fixed(color)]);
  if (band !== undefined)
    panel.overrideByRegexp(band, [
      { id: 'custom.lineStyle', value: { fill: 'dash', dash: [6, 6] } },
      { id: 'custom.lineWidth', value: 1 },
    ]);
  return built(panel, look);
}

/** One number each, with what it was before. @param {Look & { trend?: boolean }} look */
export function number(look) {
  const { trend = true } = look;
  const panel = dressed(new stats.PanelBuilder(), look)
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.Thresholds))
    .colorMode(BigValueColorMode.Value)
    .graphMode(trend ? BigValueGraphMode.Area : BigValueGraphMode.None)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']));
  return built(panel, { width: 4, height: 5, ...look });
}

/** Bars, each as long as the last value. @param {Look} look */
export function bars(look) {
  const panel = dressed(new bargauge.PanelBuilder(), { min: 0, ...look })
    .colorScheme(
      new FieldColorBuilder().mode(
        look.thresholds === undefined ? FieldColorModeId.PaletteClassicByName : FieldColorModeId.Thresholds,
      ),
    )
    .orientation(VizOrientation.Horizontal)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']));
  return built(panel, look);
}

/** A line for each series, colored by its value. @param {Look & { texts: Record<string, [text: string, color: string]> }} look */
export function history(look) {
  const options = Object.fromEntries(
    Object.entries(look.texts).map(([value, [text, color]], index) => [value, { text, color, index }]),
  );
  const panel = dressed(new statushistory.PanelBuilder(), look)
    .mappings([{ type: MappingType.ValueToText, options }])
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.Thresholds))
    .showValue(VisibilityMode.Never)
    .rowHeight(0.85)
    // It shows nothing at all where there are more points than it has room for.
    .maxDataPoints(100)
    .legend(
      new VizLegendOptionsBuilder()
        .showLegend(true)
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom),
    );
  return built(panel, look);
}

/** How often values of a histogram came, over time; `queries` has its buckets. @param {Look} look */
export function heat(look) {
  const panel = dressed(new heatmap.PanelBuilder(), look)
    .calculate(false)
    .color(
      new heatmap.HeatmapColorOptionsBuilder()
        .mode(heatmap.HeatmapColorMode.Scheme)
        .scheme('Oranges')
        .steps(64),
    )
    .yAxis(new heatmap.YAxisConfigBuilder().unit(look.unit))
    .cellGap(1)
    .exemplarsColor('rgba(51, 92, 255, 0.9)')
    .tooltip(new heatmap.HeatmapTooltipBuilder().mode(TooltipDisplayMode.Single).yHistogram(true));
  const targets = look.queries.map((query, index) => target(query, index).format(PromQueryFormat.Heatmap));
  return built(panel.targets(targets), look);
}

/**
 * A line for each set of labels, with the last value of each query.
 * @param {Look & { by: string[], columns: { title: string, unit?: string }[] }} look
 *   by: labels, the columns that come first; columns: of each query
 */
export function table(look) {
  const { by, columns, queries } = look;
  const panel = dressed(new tables.PanelBuilder(), look).targets(
    queries.map((query, index) => target(query, index).format(PromQueryFormat.Table).instant()),
  );
  const values = columns.map(({ title }, index) => /** @type {const} */ ([`Value #${refId(index)}`, title]));
  const renamed = columns.length === 1 ? [['Value', columns[0]?.title ?? '']] : values;
  panel
    .withTransformation({ id: 'merge', options: {} })
    .withTransformation({
      id: 'filterFieldsByName',
      options: { include: { names: [...by, ...renamed.map(([name]) => name)] } },
    })
    .withTransformation({ id: 'organize', options: { renameByName: Object.fromEntries(renamed) } });
  for (const { title, unit } of columns)
    if (unit !== undefined) panel.overrideByName(title, [{ id: 'unit', value: unit }]);
  return built(panel, look);
}

/** @param {number} index */
const refId = (index) => String.fromCharCode(65 + index);

/**
 * Half of all values are below p50, and so on.
 * @param {string} metric a histogram's name @param {string} matchers
 * @param {{ exemplars?: boolean }} [options]
 * @returns {Query[]}
 */
export function percentiles(metric, matchers, { exemplars = false } = {}) {
  const rate = `sum by (le) (rate(${metric}_bucket{${matchers}}[$__rate_interval]))`;
  return [99, 95, 50].map((percent) => ({
    expr: `histogram_quantile(${percent / 100}, ${rate})`,
    legend: `p${percent}`,
    // Once is enough: they are those of all buckets.
    exemplars: exemplars && percent === 99,
  }));
}

/** The buckets of a histogram, for a heat map. @param {string} metric @param {string} matchers @returns {Query[]} */
export function buckets(metric, matchers) {
  return [
    { expr: `sum by (le) (increase(${metric}_bucket{${matchers}}[$__rate_interval]))`, legend: '{{le}}' },
  ];
}

/**
 * A variable that is chosen above the panels.
 * @param {string} name a label @param {string} label for people @param {string} metric whose values it has
 */
export function choice(name, label, metric) {
  return new QueryVariableBuilder(name)
    .label(label)
    .datasource(DATASOURCE)
    .query({ qryType: 1, query: `label_values(${metric}, ${name})`, refId: name })
    .definition(`label_values(${metric}, ${name})`)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue('.+')
    .current({ selected: true, text: 'All', value: '$__all' });
}

/**
 * @param {object} options
 * @param {string} options.uid
 * @param {string} options.title
 * @param {string} options.description
 * @param {QueryVariableBuilder[]} [options.variables] beside those that all have
 * @param {{ title: string, panels: Built[] }[]} options.sections
 */
export function dashboard({ uid, title, description, variables = [], sections }) {
  const made = new DashboardBuilder(`Polylora / ${title}`)
    .uid(uid)
    .description(description)
    .tags(['polylora'])
    .time({ from: 'now-3h', to: 'now' })
    .refresh('30s')
    .tooltip(DashboardCursorSync.Crosshair)
    .link(
      new DashboardLinkBuilder('Polylora')
        .type(DashboardLinkType.Dashboards)
        .tags(['polylora'])
        .asDropdown(false)
        .includeVars(true)
        .keepTime(true),
    )
    .annotation(
      new AnnotationQueryBuilder()
        .name('Engine restarts')
        .datasource(DATASOURCE)
        .enable(true)
        .iconColor('red')
        .expr(
          `increase(polylora_engine_restarts_total{job=~"$job", instance=~"$instance"}[$__rate_interval]) > 0`,
        )
        .titleFormat('The engine of {{instance}} was started again'),
    )
    .withVariable(new DatasourceVariableBuilder('datasource').label('Data source').type('prometheus'))
    .withVariable(choice('job', 'Fleet', 'polylora_build_info'))
    .withVariable(choice('instance', 'Server', 'polylora_build_info{job=~"$job"}'));
  for (const variable of variables) made.withVariable(variable);
  let id = 0;
  let y = 0;
  for (const section of sections) {
    id += 1;
    made.withRow(new RowBuilder(section.title).id(id).gridPos({ x: 0, y, w: 24, h: 1 }));
    y += 1;
    // How far down each column is taken.
    const taken = new Array(24).fill(y);
    for (const { panel, width, height } of section.panels) {
      id += 1;
      const place = highestPlace(taken, width);
      made.withPanel(/** @type {any} */ (panel).id(id).gridPos({ ...place, w: width, h: height }));
      taken.fill(place.y + height, place.x, place.x + width);
    }
    y = Math.max(...taken);
  }
  const finished = made.build();
  // Beside the variables, not in a menu, where the builders put them.
  for (const shown of [...(finished.links ?? []), ...(finished.annotations.list ?? [])])
    delete shown.placement;
  return finished;
}

/** Where a panel fits the furthest up, and there the furthest left. @param {number[]} taken @param {number} width */
function highestPlace(taken, width) {
  const starts = Array.from({ length: taken.length - width + 1 }, (_, x) => x);
  const places = starts.map((x) => ({ x, y: Math.max(...taken.slice(x, x + width)) }));
  return places.reduce((best, place) => (place.y < best.y ? place : best));
}
