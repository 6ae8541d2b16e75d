/** What the answer cache is asked. */
import type { BackendModel } from '../../gateway/src/backends/backend.ts';
import { type CacheControls, readControls } from '../../gateway/src/cache/controls.ts';
import type { StoredAnswer } from '../../gateway/src/cache/entry.ts';
import type { Question } from '../../gateway/src/cache/question.ts';

export const ANSWER: StoredAnswer = {
  choices: [
    {
      ...{ text: 'Yes.', toolCalls: [], reason: 'stop', stopReason: null },
      usage: { promptTokens: 3, completionTokens: 2, cachedPromptTokens: 0 },
    },
  ],
};

/** As a request's `cache` field says it. */
export const controls = (fields: object = {}): CacheControls =>
  readControls({ cache: fields }, () => undefined);

export function question(text: string, tenant = 'acme', model = 'base'): Question {
  const partition = `${tenant} ${model}`;
  return {
    ...{ server: 'test', tenant, weight: 1, cacheSalt: null, partition, exactKey: `${partition} ${text}` },
    ...{ text, earlier: null, mayBeSimilar: true, temperature: 0, isMultiTurn: false },
    model: { id: model, root: `root of ${model}`, mixture: null } as BackendModel,
  };
}
