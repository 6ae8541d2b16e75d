import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { layOut, pageAfterKey, pageAt } from './layout.ts';

const pages = fc.integer({ min: 1, max: 2_000_000 });
const width = fc.integer({ min: 280, max: 2_400 });

describe('layOut', () => {
  test('has room for every page, within the width and a bounded height', () => {
    fc.assert(
      fc.property(pages, width, (count, wide) => {
        const { columns, rows, pitch, pagesPerCell } = layOut(count, wide);
        expect(columns * rows * pagesPerCell).toBeGreaterThanOrEqual(count);
        expect(columns * pitch).toBeLessThanOrEqual(wide);
        expect(rows * pitch).toBeLessThanOrEqual(1_600);
      }),
    );
  });

  test('a page is a cell as long as there is room', () => {
    expect(layOut(2_048, 1_100)).toMatchObject({ pagesPerCell: 1 });
    expect(layOut(1_000_000, 320).pagesPerCell).toBeGreaterThan(1);
  });
});

test('the corner of a cell is its page, and what is beside the cells is none', () => {
  fc.assert(
    fc.property(pages, width, fc.nat(), (count, wide, seed) => {
      const layout = layOut(count, wide);
      const { columns, pitch, pagesPerCell } = layout;
      const cell = seed % Math.ceil(count / pagesPerCell);
      const [x, y] = [(cell % columns) * pitch, Math.floor(cell / columns) * pitch];
      expect(pageAt(layout, x + 1, y + 1, count)).toBe(cell * pagesPerCell);
      expect(pageAt(layout, columns * pitch, y, count)).toBeNull();
      expect(pageAt(layout, x, layout.rows * pitch, count)).toBeNull();
    }),
  );
});

describe('the keyboard', () => {
  const layout = layOut(100, 180);

  test.each([
    ['ArrowRight', 0, 1],
    ['ArrowLeft', 0, 0],
    ['ArrowDown', 3, 3 + layout.columns],
    ['ArrowUp', 3, 0],
    ['End', 5, 99],
    ['Home', 50, 0],
    ['PageDown', 95, 99],
    ['ArrowRight', 99, 99],
  ])('%s leads from page %i to %i', (key, from, expected) => {
    expect(pageAfterKey(key, from, layout, 100)).toBe(expected);
  });

  test('other keys are the browser’s', () => {
    expect(pageAfterKey('Tab', 0, layout, 100)).toBeNull();
  });
});
