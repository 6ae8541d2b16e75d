/** Lines over time. uPlot comes with the first chart that is shown. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type uPlot from 'uplot';
import { NONE } from '../../format/numbers.ts';
import { clock } from '../../format/times.ts';
import { useElementWidth } from '../../hooks/element-width.ts';
import { themeColour, translucent, useColoursVersion } from '../../hooks/theme.ts';
import 'uplot/dist/uPlot.min.css';
import './chart.css';

export interface Series {
  readonly label: string;
  /** One of the theme's variables: `--series-1`. */
  readonly colour: string;
  /** One for each time; null where nothing is known. */
  readonly values: readonly (number | null)[];
}

interface ChartProps {
  readonly title: string;
  /** Seconds since 1970, rising. */
  readonly times: readonly number[];
  readonly series: readonly Series[];
  readonly show: (value: number | null) => string;
  /** Whether areas lie on each other, the first at the bottom. */
  readonly isStacked?: boolean;
}

const HEIGHT = 170;

/** A chart with its latest values beside its title, which are what a screen reader tells of it. */
export function Chart({ title, times, series, show, isStacked = false }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const width = useElementWidth(place);
  const colours = useColoursVersion();
  const [Plot, setPlot] = useState<typeof uPlot | null>(null);
  const labels = series.map(({ label, colour }) => `${label}\n${colour}`).join('\n\n');
  const data = dataOf(times, series, isStacked);
  const latest = useRef(data);
  latest.current = data;

  useEffect(() => {
    let isShown = true;
    import('uplot').then(
      ({ default: loaded }) => isShown && setPlot(() => loaded),
      () => {
        // The numbers beside the title are there all the same.
      },
    );
    return () => {
      isShown = false;
    };
  }, []);

  // Colours are read from the theme as it is then.
  useEffect(() => {
    const { current } = place;
    if (Plot === null || current === null || width === 0) return;
    const lines = labels.split('\n\n').map((line) => line.split('\n') as [string, string]);
    const options = optionsFor({ width, lines, show, isStacked });
    const made = new Plot(options, latest.current, current);
    plot.current = made;
    return () => {
      plot.current = null;
      made.destroy();
    };
  }, [Plot, width > 0, labels, isStacked, colours]);

  useEffect(() => plot.current?.setSize({ width: Math.max(width, 1), height: HEIGHT }), [width]);
  useEffect(() => plot.current?.setData(data), [data]);

  return (
    <figure class="panel chart">
      <figcaption>
        <h2>{title}</h2>
        <ul class="legend">
          {series.map(({ label, colour, values }) => (
            <li key={label}>
              <span class="swatch" style={{ background: `var(${colour})` }} aria-hidden="true" />
              {label} <strong>{values.length === 0 ? NONE : show(values.at(-1) ?? null)}</strong>
            </li>
          ))}
        </ul>
      </figcaption>
      <div class="chart-place" ref={place} aria-hidden="true" />
    </figure>
  );
}

interface Drawn {
  readonly width: number;
  readonly lines: readonly (readonly [label: string, colour: string])[];
  readonly show: (value: number | null) => string;
  readonly isStacked: boolean;
}

function optionsFor({ width, lines, show, isStacked }: Drawn): uPlot.Options {
  const grid = { stroke: themeColour('--grid'), width: 1 };
  const axis = { stroke: themeColour('--muted'), font: '12px system-ui', grid, ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 6 } },
    scales: { y: { range: (_plot, _least, most) => [0, most > 0 ? most * 1.08 : 1] } },
    axes: [
      { ...axis, space: 70, size: 30, values: (_plot, ticks) => ticks.map((tick) => clock(tick * 1_000)) },
      { ...axis, size: 62, space: 34, values: (_plot, ticks) => ticks.map((tick) => show(tick)) },
    ],
    series: [
      {},
      ...lines.map(([label, variable]) => {
        const stroke = themeColour(variable);
        return {
          label,
          stroke,
          width: 2,
          points: { show: false },
          ...(isStacked ? { fill: translucent(stroke, 0.7) } : {}),
        };
      }),
    ],
    ...(isStacked
      ? { bands: lines.slice(1).map((_, index) => ({ series: [index + 2, index + 1] as [number, number] })) }
      : {}),
  };
}

function dataOf(times: readonly number[], series: readonly Series[], isStacked: boolean): uPlot.AlignedData {
  if (!isStacked) return [[...times], ...series.map(({ values }) => [...values])];
  const sums = new Array<number>(times.length).fill(0);
  const lines = series.map(({ values }) =>
    values.map((value, index) => {
      sums[index] = (sums[index] ?? 0) + (value ?? 0);
      return sums[index];
    }),
  );
  return [[...times], ...lines];
}
