import type { ComponentChildren } from 'preact';

interface Tile {
  readonly label: string;
  readonly value: ComponentChildren;
  readonly about?: ComponentChildren;
}

/** A few figures beside each other. */
export function Tiles({ tiles }: { readonly tiles: readonly Tile[] }) {
  return (
    <dl class="grid tiles">
      {tiles.map(({ label, value, about }) => (
        <div key={label} class="tile">
          <dt>{label}</dt>
          <dd>{value}</dd>
          <dd>{about ?? '\u00a0'}</dd>
        </div>
      ))}
    </dl>
  );
}
