import type { ComponentChildren } from 'preact';

export interface Column<T> {
  readonly title: string;
  readonly cell: (row: T) => ComponentChildren;
  readonly isNumber?: boolean;
}

interface DataTableProps<T> {
  /** What the table is of; read aloud, and not shown. */
  readonly caption: string;
  /** The first names the row. */
  readonly columns: readonly Column<T>[];
  readonly rows: readonly T[];
  readonly keyOf: (row: T) => string;
}

// Where there is little room, CSS lays rows out as cards, and a table that is not laid out as one is none to a screen
// reader unless it says so.
const TABLE = { role: 'table' } as const;
const GROUP = { role: 'rowgroup' } as const;
const ROW = { role: 'row' } as const;
const HEAD = { role: 'columnheader' } as const;
const ROW_HEAD = { role: 'rowheader' } as const;
const CELL = { role: 'cell' } as const;

/** A table, which is a list of cards where there is little room. */
export function DataTable<T>({ caption, columns, rows, keyOf }: DataTableProps<T>) {
  return (
    <div class="table-wrap">
      <table class="data" {...TABLE}>
        <caption class="unseen">{caption}</caption>
        <thead {...GROUP}>
          <tr {...ROW}>
            {columns.map(({ title, isNumber }) => (
              <th key={title} scope="col" {...HEAD} class={isNumber ? 'number' : undefined}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody {...GROUP}>
          {rows.map((row) => (
            <tr key={keyOf(row)} {...ROW}>
              {columns.map(({ title, cell, isNumber }, index) =>
                index === 0 ? (
                  <th key={title} scope="row" {...ROW_HEAD}>
                    {cell(row)}
                  </th>
                ) : (
                  <td key={title} {...CELL} data-label={title} class={isNumber ? 'number' : undefined}>
                    <div class="cell">{cell(row)}</div>
                  </td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
