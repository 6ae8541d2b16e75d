import type { ChoiceEvent } from '../generation.ts';

/** How many answers to each prompt were made, and how many of them are wanted. */
export interface BestOf {
  readonly made: number;
  readonly wanted: number;
}

/**
 * The events of each prompt's best answers, the best first: those whose tokens were likeliest on the mean.
 * Each answer must have its logprobs.
 */
export function bestOf(events: readonly ChoiceEvent[], { made, wanted }: BestOf): ChoiceEvent[] {
  const choices: ChoiceEvent[][] = [];
  for (const event of events) {
    const ofChoice = choices[event.choice] ?? [];
    choices[event.choice] = ofChoice;
    ofChoice.push(event);
  }
  return Array.from({ length: choices.length / made }, (_, prompt) =>
    choices
      .slice(prompt * made, (prompt + 1) * made)
      .map((ofChoice) => ({ ofChoice, likelihood: meanLogprob(ofChoice) }))
      // Equals keep their order: the first is what a request for one would get.
      .sort((a, b) => b.likelihood - a.likelihood)
      .slice(0, wanted)
      .flatMap(({ ofChoice }, rank) =>
        ofChoice.map(({ event }) => ({ choice: prompt * wanted + rank, event })),
      ),
  ).flat();
}

/** An answer without tokens is as likely as can be. */
function meanLogprob(events: readonly ChoiceEvent[]): number {
  let sum = 0;
  let count = 0;
  for (const { event } of events) {
    if (event.type !== 'delta') continue;
    for (const { logprob } of event.logprobs ?? []) {
      sum += logprob;
      count += 1;
    }
  }
  return count === 0 ? 0 : sum / count;
}
