import { randomUUID } from 'node:crypto';
import type { Backend, BackendModel } from './backends/backend.ts';
import { ApiError } from './errors.ts';
import { PROMPT_ERRORS } from './generation.ts';
import type { InFlight } from './in-flight.ts';
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
  /** Aborted when the client leaves. */
  readonly client: AbortSignal;
}

/**
 * Makes the vectors of a request, and its answer.
 * @throws ApiError
 */
export async function embeddingAnswer(options: EmbeddingOptions): Promise<object> {
  const { backend, model, request, scheduling, inFlight, metrics, client } = options;
  const lease = inFlight.acquire(scheduling.tenant, 1);
  const leave = () => lease.abort(new ApiError('client_closed_request', 'The client closed the request.'));
  client.addEventListener('abort', leave, { once: true });
  if (client.aborted) leave();
  const started = performance.now();
  try {
    const { inputs, truncate } = request;
    const asked = { id: `embd-${randomUUID()}`, inputs, truncate, scheduling };
    const vectors = await backend.embed(model, asked, lease.signal);
    const tokens = vectors.reduce((sum, { promptTokens }) => sum + promptTokens, 0);
    metrics.countEmbedding(inputs.length, tokens, (performance.now() - started) / 1000);
    return embeddingList(vectors, model.id, request);
  } catch (error) {
    throw ofInput(error);
  } finally {
    client.removeEventListener('abort', leave);
    lease.release();
  }
}

/** Names the field that a text came from, where that cannot be used. */
function ofInput(error: unknown): unknown {
  if (!(error instanceof ApiError) || error.param !== null || !PROMPT_ERRORS.has(error.code)) return error;
  return new ApiError(error.code, error.message, 'input');
}
