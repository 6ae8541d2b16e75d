import { randomUUID } from 'node:crypto';
import type { BackendModel, BackendRequest } from '../backends/backend.ts';
import type { ChoiceEvent } from '../generation.ts';
import type { AnswerHead } from '../openai/chat-response.ts';
import type { ServiceTier } from '../openai/scheduling.ts';

/** A request's body, read: what the backend is asked, and how the answer is written. */
export interface Job {
  /** One for each answer that is made to each prompt. */
  readonly requests: readonly BackendRequest[];
  /** Answers that the client wants to each prompt. */
  readonly choices: number;
  /** The field that the prompts came from. */
  readonly promptParam: 'messages' | 'prompt' | 'input';
  /** For the log; null where the client names no user. */
  readonly userHash: string | null;
  readonly whole: (events: readonly ChoiceEvent[]) => object | Promise<object>;
  /** null where the client did not ask for a stream. */
  readonly chunks: ((events: AsyncIterable<ChoiceEvent>) => AsyncIterable<object>) | null;
  /** How the chunks are framed: as data alone, or by their `type` as well. */
  readonly events?: 'named';
}

/**
 * What every answer and chunk begins with.
 * @param kind the prefix of its id, as OpenAI's
 * @param tier told to clients that ask for one
 */
export function answerHead(kind: string, model: BackendModel, tier: ServiceTier | null): AnswerHead {
  return {
    id: `${kind}-${randomUUID().replaceAll('-', '')}`,
    created: Math.floor(Date.now() / 1000),
    model: model.id,
    system_fingerprint: model.fingerprint,
    ...(tier === null ? {} : { service_tier: tier }),
  };
}
