import { randomUUID } from 'node:crypto';
import { POOLED_SAMPLING, type SamplingParams, type SchedulingParams } from '@polylora/engine';
import type { Backend } from '../../backends/backend.ts';
import { Cancellation } from '../../cancellation.ts';
import { ApiError } from '../../errors.ts';

/** Longer questions are not asked about: nobody would wait for it. */
/** In less no model has read two questions. */
const LEAST_MILLISECONDS = 20;
const MOST_CHARACTERS = 2_000;

/** For whom it is: the prompt has both questions in it, and its prefix is found by whoever may know them. */
export type Asker = Pick<SchedulingParams, 'tenant' | 'weight' | 'cacheSalt'>;

/** Greedy. */
const SAMPLING: SamplingParams = {
  ...POOLED_SAMPLING,
  maxTokens: 4,
  constraint: { field: 'choice', kind: 'choice', choices: ['yes', 'no'] },
};

const INSTRUCTION =
  'You are given two questions. Say yes if one and the same answer is right and complete for both of them. ' +
  'Say no if they differ in any name, number, language, time, direction or other detail that changes the answer.';

/** Has the base model say whether two questions ask for the same, when nothing more urgent waits. It is the server that asks: nobody pays. */
export class ModelJudge {
  readonly #backend: () => Backend;

  constructor(backend: () => Backend) {
    this.#backend = backend;
  }

  /** false where it says no, cannot be asked, or takes too long. */
  async isSame(a: string, b: string, asker: Asker, mostMilliseconds: number): Promise<boolean> {
    const backend = this.#backend();
    const { base } = backend;
    if (!backend.ready || base === null || a.length + b.length > MOST_CHARACTERS) return false;
    if (mostMilliseconds < LEAST_MILLISECONDS) return false;
    const cancellation = new Cancellation();
    const timer = setTimeout(
      () => cancellation.cancel(new ApiError('client_closed_request', 'It took too long.')),
      mostMilliseconds,
    );
    const request = {
      id: `judge-${randomUUID()}`,
      prompt: {
        kind: 'chat',
        messages: [
          { role: 'system', content: INSTRUCTION },
          // As JSON, so that a question cannot end itself and go on as the instruction.
          { role: 'user', content: JSON.stringify({ first: a, second: b }) },
        ],
      },
      sampling: SAMPLING,
      scheduling: {
        ...asker,
        priority: 'batch',
        category: null,
        timeoutSeconds: mostMilliseconds / 1000,
      },
      echo: false,
    } as const;
    try {
      let said = '';
      for await (const event of backend.generate(base, request, cancellation)) {
        if (event.type === 'delta') said += event.text;
        else if (event.type === 'error') return false;
      }
      return said.trim().toLowerCase().startsWith('yes');
    } finally {
      clearTimeout(timer);
    }
  }
}
