import { randomUUID } from 'node:crypto';
import type { Reservation } from './admission/admission.ts';
import { type Asked, askedOfInputs } from './admission/asked.ts';
import type { Backend, BackendModel } from './backends/backend.ts';
import { ApiError } from './errors.ts';
import { PROMPT_ERRORS } from './generation.ts';
import type { Client } from './http/client.ts';
import type { InFlight, Lease } from './in-flight.ts';
import type { Metrics } from './metrics.ts';
import type { EmbeddingRequest } from './openai/embedding-request.ts';
import { embeddingList } from './openai/embedding-response.ts';

export interface EmbeddingOptions {
  readonly backend: Backend;
  readonly model: BackendModel;
  readonly request: EmbeddingRequest;
  readonly scheduling: Parameters<Backend['embed']>[1]['scheduling'];
  readonly inFlight: InFlight;
  readonly metrics: Metrics;
  readonly client: Client;
  /** Holds what the request may use for whoever it is from. @throws ApiError */
  readonly reserve: (asked: Asked) => Reservation | Promise<Reservation>;
}

/**
 * Makes the vectors of a request, and its answer.
 * @throws ApiError
 */
export async function embeddingAnswer(options: EmbeddingOptions): Promise<object> {
  const { backend, model, request, scheduling, inFlight, metrics, client } = options;
  const reservation = await options.reserve(askedOfInputs(model, request.inputs));
  let lease: Lease | null = null;
  let stopListening = () => {};
  // As long as it is not known: what failed or was left costs nothing.
  let promptTokens = 0;
  const started = performance.now();
  try {
    const held = inFlight.acquire(scheduling.tenant, 1);
    lease = held;
    const leave = () => held.abort(new ApiError('client_closed_request', 'The client closed the request.'));
    stopListening = client.onLeave(leave);
    if (client.hasLeft) leave();
    const { inputs, truncate } = request;
    const asked = { id: `embd-${randomUUID()}`, inputs, truncate, scheduling };
    const vectors = await backend.embed(model, asked, held.signal);
    promptTokens = vectors.reduce((sum, vector) => sum + vector.promptTokens, 0);
    metrics.countEmbedding(inputs.length, promptTokens, (performance.now() - started) / 1000);
    return embeddingList(vectors, model.id, request);
  } catch (error) {
    throw ofInput(error);
  } finally {
    stopListening();
    lease?.release();
    reservation.settle(
      promptTokens === 0 ? null : { promptTokens, cachedPromptTokens: 0, completionTokens: 0 },
    );
  }
}

/** Names the field that a text came from, where that cannot be used. */
function ofInput(error: unknown): unknown {
  if (!(error instanceof ApiError) || error.param !== null || !PROMPT_ERRORS.has(error.code)) return error;
  return new ApiError(error.code, error.message, 'input');
}
