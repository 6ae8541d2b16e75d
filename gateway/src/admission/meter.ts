import type { Prompt } from '@polylora/engine';
import type { BackendEvent, BackendRequest } from '../backends/backend.ts';
import type { Used } from './asked.ts';

/** Of usual text. */
const BYTES_OF_TOKEN = 4;

interface Choice {
  /** The first choice of the same prompt, which it counts with. */
  readonly first: Choice | null;
  /** How far another server has probably come; null where that is not asked, or events tell. */
  computed: (() => number) | null;
  promptTokens: number | null;
  cachedPromptTokens: number;
  completionTokens: number;
}

/** Counts what a request's choices use, from their events, however they end. */
export class Meter {
  readonly #choices: readonly Choice[];
  readonly #expectedPrompt: number;

  /** @param mostPromptTokens of all prompts; a share of it counts where their tokens are told by an end that does not come */
  constructor(requests: readonly BackendRequest[], mostPromptTokens: number) {
    const seen = new Map<Prompt, Choice>();
    this.#choices = requests.map(({ prompt }) => {
      const choice: Choice = {
        first: seen.get(prompt) ?? null,
        computed: null,
        promptTokens: 0,
        cachedPromptTokens: 0,
        completionTokens: 0,
      };
      if (choice.first === null) seen.set(prompt, choice);
      return choice;
    });
    this.#expectedPrompt = mostPromptTokens / BYTES_OF_TOKEN / Math.max(1, seen.size);
  }

  /** Another server may have begun: its prompt counts from now on, also where no start is told of, and what was computed as well. */
  begin(choice: number, computed: () => number): void {
    const begun = this.#choices[choice];
    if (begun === undefined) return;
    begun.computed = computed;
    const counted = begun.first ?? begun;
    if (counted.promptTokens === 0) counted.promptTokens = null;
  }

  take(choice: number, event: BackendEvent): void {
    const counted = this.#choices[choice];
    if (counted === undefined) return;
    if (event.type !== 'start') counted.computed = null;
    if (event.type === 'start') counted.promptTokens = event.promptTokens;
    else if (event.type === 'delta') counted.completionTokens += event.tokens;
    else if (event.type === 'finish') Object.assign(counted, event.usage);
    // What was refused was not read.
    else if (event.type === 'error' && counted.completionTokens === 0) counted.promptTokens ??= 0;
  }

  used(): Used {
    let [promptTokens, cachedPromptTokens, completionTokens] = [0, 0, 0];
    for (const choice of this.#choices) {
      completionTokens += choice.completionTokens + (choice.computed?.() ?? 0);
      if (choice.first !== null) continue;
      promptTokens += choice.promptTokens ?? Math.ceil(this.#expectedPrompt);
      cachedPromptTokens += choice.cachedPromptTokens;
    }
    return { promptTokens, cachedPromptTokens, completionTokens };
  }
}
