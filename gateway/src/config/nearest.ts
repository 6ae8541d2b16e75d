/** The name that was probably meant: the same but for capitals, hyphens and underscores, or a few letters away. null: none. */
export function nearest(given: string, names: readonly string[]): string | null {
  const word = plain(given);
  // Nobody's name is so long, and it costs its square.
  if (word.length > 60) return null;
  const most = Math.min(2, Math.floor(word.length / 3));
  const distances = names.map((name) => ({ name, distance: distance(word, plain(name)) }));
  const best = Math.min(most, ...distances.map((each) => each.distance));
  return distances.find((each) => each.distance === best)?.name ?? null;
}

/** What to add to a message about a name that is unknown. */
export function hintAt(given: string, names: readonly string[]): string {
  const name = nearest(given, names);
  return name === null ? '' : `; did you mean ${name}?`;
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
}

/** Letters that are put in, left out, exchanged, or swapped with the next one. */
function distance(left: string, right: string): number {
  let [before, last]: number[][] = [[], Array.from({ length: right.length + 1 }, (_, index) => index)];
  for (let row = 1; row <= left.length; row++) {
    const next = [row];
    for (let column = 1; column <= right.length; column++) {
      const isSame = left[row - 1] === right[column - 1];
      const isSwapped =
        row > 1 && column > 1 && left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
      next[column] = Math.min(
        (last?.[column] ?? 0) + 1,
        (next[column - 1] ?? 0) + 1,
        (last?.[column - 1] ?? 0) + (isSame ? 0 : 1),
        isSwapped ? (before?.[column - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    [before, last] = [last, next];
  }
  return last?.[right.length] ?? 0;
}
