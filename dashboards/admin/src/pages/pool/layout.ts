/** How pages lie on the canvas: rows from left to right, cells as large as there is room for. */
export interface CellLayout {
  readonly columns: number;
  readonly rows: number;
  /** CSS pixels from a cell to the next, in both directions; a part of it is the gap. */
  readonly pitch: number;
  /** More than one only where the pool has more pages than there is room for cells. */
  readonly pagesPerCell: number;
}

const LARGEST = 18;
const SMALLEST = 3;
/** CSS pixels: higher than a screen or two nobody finds anything. */
const MOST_HEIGHT = 1_600;
/** What is aimed at. */
const USUAL_HEIGHT = 420;

/** @param width in CSS pixels */
export function layOut(pages: number, width: number): CellLayout {
  for (let pitch = LARGEST; pitch >= SMALLEST; pitch -= 1) {
    const columns = Math.max(1, Math.floor(width / pitch));
    const rows = Math.ceil(pages / columns);
    if (rows * pitch <= (pitch === SMALLEST ? MOST_HEIGHT : USUAL_HEIGHT))
      return { columns, rows, pitch, pagesPerCell: 1 };
  }
  const columns = Math.max(1, Math.floor(width / SMALLEST));
  const mostRows = Math.floor(MOST_HEIGHT / SMALLEST);
  const pagesPerCell = Math.ceil(pages / (columns * mostRows));
  const rows = Math.ceil(pages / pagesPerCell / columns);
  return { columns, rows, pitch: SMALLEST, pagesPerCell };
}

/** The first page of the cell at a place, in CSS pixels from the corner; null where there is none. */
export function pageAt(
  { columns, pitch, pagesPerCell }: CellLayout,
  x: number,
  y: number,
  pages: number,
): number | null {
  const column = Math.floor(x / pitch);
  if (x < 0 || y < 0 || column >= columns) return null;
  const page = (Math.floor(y / pitch) * columns + column) * pagesPerCell;
  return page < pages ? page : null;
}

/** The page that a key leads to; null for a key that leads nowhere. */
export function pageAfterKey(
  key: string,
  page: number,
  { columns, pagesPerCell }: CellLayout,
  pages: number,
): number | null {
  const steps: Readonly<Record<string, number>> = {
    ArrowRight: 1,
    ArrowLeft: -1,
    ArrowDown: columns,
    ArrowUp: -columns,
    PageDown: columns * 10,
    PageUp: -columns * 10,
    Home: Number.NEGATIVE_INFINITY,
    End: Number.POSITIVE_INFINITY,
  };
  const step = steps[key];
  if (step === undefined) return null;
  const last = Math.floor((pages - 1) / pagesPerCell);
  const cell = Math.min(last, Math.max(0, Math.floor(page / pagesPerCell) + step));
  return cell * pagesPerCell;
}
