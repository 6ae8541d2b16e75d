import type { Prompt } from '@polylora/engine';
import type { BackendEvent, BackendRequest } from '../backends/backend.ts';
import type { Used } from './asked.ts';

/** Of usual text. */
const BYTES_OF_TOKEN = 4;

interface Choice {
  /** Of the first choice of a prompt: it counts once. */
  readonly countsPrompt: boolean;
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
    const seen = new Set<Prompt>();
    this.#choices = requests.map(({ prompt }) => {
      const countsPrompt = !seen.has(prompt);
      seen.add(prompt);
      return { countsPrompt, promptTokens: 0, cachedPromptTokens: 0, completionTokens: 0 };
    });
    this.#expectedPrompt = mostPromptTokens / BYTES_OF_TOKEN / Math.max(1, seen.size);
  }

  /** Prompts count from now on, also where no start is told of. */
  expectPrompts(): void {
    for (const choice of this.#choices) choice.promptTokens = null;
  }

  take(choice: number, event: BackendEvent): void {
    const counted = this.#choices[choice];
    if (counted === undefined) return;
    if (event.type === 'start') counted.promptTokens = event.promptTokens;
    else if (event.type === 'delta') counted.completionTokens += event.tokens;
    else if (event.type === 'finish') Object.assign(counted, event.usage);
    // What was refused was not read.
    else if (event.type === 'error' && counted.completionTokens === 0) counted.promptTokens ??= 0;
  }

  used(): Used {
    let [promptTokens, cachedPromptTokens, completionTokens] = [0, 0, 0];
    for (const choice of this.#choices) {
      completionTokens += choice.completionTokens;
      if (!choice.countsPrompt) continue;
      promptTokens += choice.promptTokens ?? Math.ceil(this.#expectedPrompt);
      cachedPromptTokens += choice.cachedPromptTokens;
    }
    return { promptTokens, cachedPromptTokens, completionTokens };
  }
}
