import type { Engine } from '@polylora/engine';
import { GREEDY } from './greedy.ts';
import { randomPrompt } from './http/token-prompt.ts';
import { ONE_TENANT } from './local-engine.ts';

/** So short that the step that reads the prompts is as good as any other. */
const PROMPT_TOKENS = 4;

/** A run of sequences that decode at once, per step. */
export interface DecodeSteps {
  readonly steps: number;
  /** From the first request to the last token, as the caller sees it. */
  readonly wallSeconds: number;
  /** In the graph. */
  readonly graphSeconds: number;
  /** Of that, in our operators. */
  readonly operatorSeconds: number;
}

/**
 * Decodes one sequence for each adapter (null: on the base model) at once on an idle engine, each step with a row of
 * every sequence but for the first and the last few.
 * @throws Error when a request fails.
 */
export async function decodeTogether(
  engine: Engine,
  adapters: readonly (string | null)[],
  newTokens: number,
  seed: number,
): Promise<DecodeSteps> {
  const before = await engine.stats();
  const startedAt = performance.now();
  await Promise.all(
    adapters.map(async (adapter, index) => {
      const id = `decode-${seed}-${index}`;
      const prompt = {
        kind: 'tokens',
        ids: randomPrompt(PROMPT_TOKENS, seed * adapters.length + index),
      } as const;
      const sampling = { ...GREEDY, maxTokens: newTokens };
      for await (const event of engine.generate({ id, prompt, adapter, sampling, scheduling: ONE_TENANT })) {
        if (event.type === 'error') throw new Error(event.message);
      }
    }),
  );
  const wallSeconds = (performance.now() - startedAt) / 1000;
  const after = await engine.stats();
  const steps = after.stepsTotal - before.stepsTotal;
  return {
    steps,
    wallSeconds: wallSeconds / steps,
    graphSeconds: (after.stepSecondsTotal - before.stepSecondsTotal) / steps,
    operatorSeconds: (after.operatorSecondsTotal - before.operatorSecondsTotal) / steps,
  };
}
