import type { Prompt } from '@polylora/engine';
import type { Backend, BackendModel } from './backends/backend.ts';
import type { InFlight } from './in-flight.ts';

export interface PromptCounterOptions {
  readonly backend: Backend;
  readonly model: BackendModel;
  readonly inFlight: InFlight;
}

/** Whose prompts they are, and the share of the server that is theirs. */
export interface CountedFor {
  readonly tenant: string;
  readonly weight: number;
}

/** Counts a prompt's tokens. @throws ApiError where it cannot be a prompt, or the server is busy */
export type PromptCounter = (prompt: Prompt) => Promise<number>;

/** Counts with the model's own tokenizer; null where that is not here, as an upstream's and an embedding model's. */
export function promptCounter(
  { backend, model, inFlight }: PromptCounterOptions,
  { tenant, weight }: CountedFor,
): PromptCounter | null {
  const { tokenizer, base } = backend;
  const isBases = model.parent !== null || model.id === base?.id;
  if (tokenizer === null || !isBases) return null;
  return async (prompt) => {
    if (prompt.kind === 'tokens') return prompt.ids.length;
    // It is the engine's time: nobody has more of it for what is then refused than for what is answered.
    const lease = inFlight.acquire(tenant, weight, 1);
    try {
      return (await tokenizer.tokenize(prompt)).length;
    } finally {
      lease.release();
    }
  };
}
