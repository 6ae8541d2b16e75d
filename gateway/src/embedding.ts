import { randomUUID } from 'node:crypto';
import type { SchedulingParams } from '@polylora/engine';
import type { Reservation } from './admission/admission.ts';
import { type Asked, askedOfInputs, type Used } from './admission/asked.ts';
import type { Backend, BackendModel } from './backends/backend.ts';
import { ApiError } from './errors.ts';
import { PROMPT_ERRORS } from './generation.ts';
import type { Client } from './http/client.ts';
import type { InFlight } from './in-flight.ts';
import type { Metrics } from './metrics/metrics.ts';
import type { EmbeddingRequest } from './openai/embedding-request.ts';
import { embeddingList } from './openai/embedding-response.ts';
import { promptCounter } from './prompt-counter.ts';
import type { RequestRecord } from './requests/request-record.ts';

/** Of usual text. */
const BYTES_OF_TOKEN = 4;

export interface EmbeddingOptions {
  readonly backend: Backend;
  readonly model: BackendModel;
  readonly request: EmbeddingRequest;
  readonly scheduling: SchedulingParams;
  /** Holds what the request may use for whoever it is from. @throws ApiError */
  readonly reserve: (asked: Asked) => Reservation | Promise<Reservation>;
  readonly inFlight: InFlight;
  readonly metrics: Metrics;
  readonly client: Client;
  /** Of the request over HTTP; null or absent: there is none. */
  readonly record?: RequestRecord | null;
}

/**
 * Makes the vectors of a request, and its answer.
 * @throws ApiError
 */
export async function embeddingAnswer(options: EmbeddingOptions): Promise<object> {
  const { backend, model, request, scheduling, inFlight, metrics, client, record = null } = options;
  const { inputs, truncate, user } = request;
  if (!backend.ready) throw new ApiError('engine_unavailable', 'The engine is not ready yet.');
  const { tenant, weight } = scheduling;
  const counter = promptCounter({ backend, model, inFlight }, { tenant, weight });
  const most = askedOfInputs(model, inputs, counter);
  const reservation = await reserved(options, most);
  let used: Used | null = null;
  try {
    const lease = inFlight.acquire(tenant, weight, 1);
    const leave = () =>
      lease.cancellation.cancel(new ApiError('client_closed_request', 'The client closed the request.'));
    const stopListening = client.onLeave(leave);
    if (client.hasLeft) leave();
    const started = performance.now();
    // What is made here is begun at once.
    let hasBegun = backend.answer === null;
    const onSend = () => {
      hasBegun = true;
    };
    try {
      const traceHeaders = record?.send(backend.computer === 'upstream' ? 'upstream' : 'vectors') ?? null;
      const asked = { id: `embd-${randomUUID()}`, inputs, truncate, scheduling, user, traceHeaders };
      const vectors = await backend.embed(model, asked, lease.cancellation, onSend);
      record?.timeline.computed();
      const promptTokens = vectors.reduce((sum, vector) => sum + vector.promptTokens, 0);
      used = usedBy(promptTokens);
      metrics.countEmbedding(inputs.length, promptTokens, (performance.now() - started) / 1000);
      return embeddingList(vectors, model.id, request);
    } catch (error) {
      // Some of it may have been computed for whoever does not wait for it any more.
      if (hasBegun && (lease.cancellation.isCancelled || isTooLarge(error)))
        used = usedBy(Math.ceil(most.promptTokens / BYTES_OF_TOKEN));
      throw error;
    } finally {
      stopListening();
      lease.release();
    }
  } catch (error) {
    throw ofInput(error);
  } finally {
    reservation.settle(used);
  }
}

async function reserved({ reserve }: EmbeddingOptions, most: Asked): Promise<Reservation> {
  try {
    return await reserve(most);
  } catch (error) {
    throw ofInput(error);
  }
}

function usedBy(promptTokens: number): Used {
  return { promptTokens, cachedPromptTokens: 0, completionTokens: 0 };
}

function isTooLarge(error: unknown): boolean {
  return error instanceof ApiError && error.code === 'upstream_answer_too_large';
}

/** Names the field that a text came from, where that cannot be used. */
function ofInput(error: unknown): unknown {
  if (!(error instanceof ApiError) || error.param !== null || !PROMPT_ERRORS.has(error.code)) return error;
  return new ApiError(error.code, error.message, 'input');
}
