/** How requests choose among adapters. */
export type Popularity = 'Zipf' | 'uniform';

/** Numbers from 0 up to `count`, the same for the same seed. Zipf: the n-th is asked for 1/n times as often as the first. */
export function choices(popularity: Popularity, count: number, length: number, seed: number): number[] {
  const weights = Array.from({ length: count }, (_, index) => (popularity === 'Zipf' ? 1 / (index + 1) : 1));
  const ends: number[] = [];
  for (const weight of weights) ends.push((ends.at(-1) ?? 0) + weight);
  const total = ends.at(-1) ?? 0;
  let state = seed >>> 0;
  return Array.from({ length }, () => {
    // A linear congruential generator (Numerical Recipes); its high bits are random enough to choose by.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const place = (state / 2 ** 32) * total;
    return Math.min(
      count - 1,
      ends.findIndex((end) => end > place),
    );
  });
}
