/** The answers beside each other: one for each model that is asked. */

import type { ChatProgress } from '../../api/chat-stream.ts';
import type { ApiError } from '../../api/client.ts';

/** The base and up to four adapters. */
export const MOST_ADAPTERS = 4;

export interface Answer {
  readonly model: string;
  readonly state: 'waiting' | 'streaming' | 'done' | 'stopped' | 'failed';
  readonly progress: ChatProgress | null;
  readonly error: ApiError | null;
}

export function waiting(model: string): Answer {
  return { model, state: 'waiting', progress: null, error: null };
}

/** The answers with one changed. */
export function withAnswer(
  answers: readonly Answer[],
  model: string,
  change: Partial<Omit<Answer, 'model'>>,
): readonly Answer[] {
  return answers.map((answer) => (answer.model === model ? { ...answer, ...change } : answer));
}

export function isRunning({ state }: Answer): boolean {
  return state === 'waiting' || state === 'streaming';
}

/** What is asked, chosen or not any more: no more adapters than there is room for. */
export function toggled(chosen: readonly string[], adapter: string): readonly string[] {
  if (chosen.includes(adapter)) return chosen.filter((name) => name !== adapter);
  return chosen.length >= MOST_ADAPTERS ? chosen : [...chosen, adapter];
}
