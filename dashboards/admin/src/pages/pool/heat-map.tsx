import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { PoolKind, PoolMap } from '../../api/types.ts';
import { count } from '../../format/numbers.ts';
import { useElementWidth } from '../../hooks/element-width.ts';
import { themeColour, useColoursVersion } from '../../hooks/theme.ts';
import { type CellLayout, layOut, pageAfterKey, pageAt } from './layout.ts';
import { cellOf, cellText, decodeRuns, KINDS, ownerOfCell } from './page-runs.ts';

/** Every page of the pool as a cell. The pointer and the arrow keys say which is whose. */
export function HeatMap({ map }: { readonly map: PoolMap }) {
  const place = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useElementWidth(place);
  const colours = useColoursVersion();
  const [chosen, setChosen] = useState<number | null>(null);
  const pages = useMemo(() => decodeRuns(map), [map]);
  const total = map.pages_total;
  const layout = useMemo(() => layOut(total, Math.max(width, 1)), [total, width]);

  // Colours are read from the theme as it is then.
  useLayoutEffect(() => {
    if (canvas.current !== null && width > 0) draw(canvas.current, { map, pages, layout, chosen });
  }, [map, pages, layout, chosen, width, colours]);
  // What was chosen is not there any more in a smaller pool.
  useEffect(() => setChosen((old) => (old === null ? null : Math.min(old, total - 1))), [total]);

  const onKeyDown = (event: KeyboardEvent) => {
    const next = pageAfterKey(event.key, chosen ?? 0, layout, total);
    if (next === null) return;
    event.preventDefault();
    setChosen(chosen === null ? 0 : next);
  };
  const onPointer = ({ offsetX, offsetY }: PointerEvent) => {
    setChosen(pageAt(layout, offsetX, offsetY, total));
  };
  const text = chosen === null ? null : cellText(map, pages, cellOf(chosen, layout.pagesPerCell, total));
  return (
    <div class="heat-map">
      <p class="heat-map-text">{text ?? 'Point at a page, or go with the arrow keys, to see whose it is.'}</p>
      <div ref={place}>
        <canvas
          ref={canvas}
          tabIndex={0}
          role="slider"
          aria-label="Pages of the pool"
          aria-orientation="horizontal"
          aria-valuemin={0}
          aria-valuemax={Math.max(0, total - 1)}
          aria-valuenow={chosen ?? 0}
          aria-valuetext={text ?? 'No page is chosen'}
          onKeyDown={onKeyDown}
          onPointerMove={onPointer}
          onPointerDown={onPointer}
          onFocus={() => setChosen((old) => old ?? 0)}
          onPointerLeave={() => setChosen(null)}
          onBlur={() => setChosen(null)}
        />
      </div>
      {layout.pagesPerCell > 1 && (
        <p class="small muted">
          There are more pages than cells fit: each cell stands for {count(layout.pagesPerCell)} pages that
          follow each other, in the colour of the first that is used.
        </p>
      )}
    </div>
  );
}

interface Picture {
  readonly map: PoolMap;
  readonly pages: Uint32Array;
  readonly layout: CellLayout;
  readonly chosen: number | null;
}

function draw(canvas: HTMLCanvasElement, { map, pages, layout, chosen }: Picture): void {
  const context = canvas.getContext('2d');
  if (context === null) return;
  const { columns, rows, pitch, pagesPerCell } = layout;
  const scale = devicePixelRatio;
  const [width, height] = [columns * pitch, rows * pitch];
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  context.scale(scale, scale);
  const size = pitch - (pitch > 6 ? 2 : 1);
  const colours = Object.fromEntries(KINDS.map((kind) => [kind, themeColour(`--${kind}`)])) as Record<
    PoolKind,
    string
  >;
  const { owners } = map;
  const shownIn = (page: number) => ownerOfCell(map, pages, cellOf(page, pagesPerCell, pages.length));
  // What colours the chosen cell stands out wherever else it is.
  const owner = chosen === null ? null : shownIn(chosen);
  const isDimmed = owner !== null && owners[owner]?.kind !== 'free';
  for (let cell = 0; cell * pagesPerCell < pages.length; cell += 1) {
    const shown = shownIn(cell * pagesPerCell);
    const kind = owners[shown]?.kind ?? 'free';
    context.fillStyle = colours[kind];
    context.globalAlpha = isDimmed && shown !== owner && kind !== 'free' ? 0.4 : 1;
    context.fillRect((cell % columns) * pitch, Math.floor(cell / columns) * pitch, size, size);
  }
  context.globalAlpha = 1;
  if (chosen === null) return;
  const cell = Math.floor(chosen / pagesPerCell);
  context.strokeStyle = themeColour('--text');
  context.lineWidth = 2;
  context.strokeRect((cell % columns) * pitch, Math.floor(cell / columns) * pitch, size, size);
}
