/** One of the things that a benchmark compares. */
export interface Side<Result> {
  readonly name: string;
  /** Measures once. Rounds count from 0; what a round measures is the same on every side. */
  measure(round: number): Promise<Result>;
}

/** For each side, in their order, its results, one a round. */
type ResultsOf<Result, Sides extends readonly Side<Result>[]> = { readonly [Index in keyof Sides]: Result[] };

/**
 * Measures all sides in turn, in the opposite order every other round, so that a machine that slows down slows all
 * of them; after one measurement of each that does not count.
 *
 * @param onRound is told the results of each round that counts, in the order of the sides
 */
export async function alternate<Result, const Sides extends readonly Side<Result>[]>(
  sides: Sides & readonly Side<Result>[],
  rounds: number,
  onRound: (round: number, results: readonly Result[]) => void,
): Promise<ResultsOf<Result, Sides>> {
  const counted: Result[][] = sides.map(() => []);
  for (let round = 0; round <= rounds; round++) {
    const results = await measureRound(sides, round);
    if (round === 0) continue;
    for (const [index, result] of results.entries()) counted[index]?.push(result);
    onRound(round, results);
  }
  return counted as unknown as ResultsOf<Result, Sides>;
}

async function measureRound<Result>(sides: readonly Side<Result>[], round: number): Promise<Result[]> {
  const order = [...sides.entries()];
  if (round % 2 === 1) order.reverse();
  const results: Result[] = [];
  for (const [index, side] of order) results[index] = await side.measure(round);
  return results;
}
