/** Ordinary text tokens of the default model: past the control tokens and the single bytes. */
const FIRST_TOKEN = 1_000;
const LAST_TOKEN = 40_000;

/** Token ids that are the same for the same seed, and for no two seeds: no prefix is ever cached. */
export function randomPrompt(length: number, seed: number): number[] {
  let state = seed;
  return Array.from({ length }, () => {
    // A linear congruential generator (Numerical Recipes) is random enough to make prompts differ.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return FIRST_TOKEN + (state % (LAST_TOKEN - FIRST_TOKEN));
  });
}
