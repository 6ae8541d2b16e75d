import type { Usage } from '@polylora/engine';

/** OpenAI's `usage`. */
export interface UsageBody {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
}

/** Adds up the usage of a request's choices. A prompt counts once, however many answers it gets. */
export class UsageSum {
  readonly #choicesPerPrompt: number;
  #prompt = 0;
  #cached = 0;
  #completion = 0;

  /** @param choicesPerPrompt choice numbers are prompt · choicesPerPrompt + answer */
  constructor(choicesPerPrompt: number) {
    this.#choicesPerPrompt = choicesPerPrompt;
  }

  add(choice: number, usage: Usage): void {
    this.#completion += usage.completionTokens;
    if (choice % this.#choicesPerPrompt !== 0) return;
    this.#prompt += usage.promptTokens;
    this.#cached += usage.cachedPromptTokens;
  }

  body(): UsageBody {
    return {
      prompt_tokens: this.#prompt,
      completion_tokens: this.#completion,
      total_tokens: this.#prompt + this.#completion,
      prompt_tokens_details: { cached_tokens: this.#cached },
    };
  }
}
