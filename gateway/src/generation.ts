import type { SchedulingParams } from '@polylora/engine';
import type { Reservation } from './admission/admission.ts';
import { type Asked, askedOf, withinHold } from './admission/asked.ts';
import { Meter } from './admission/meter.ts';
import type { Backend, BackendEvent, BackendModel, BackendRequest } from './backends/backend.ts';
import { apiErrorOf } from './backends/failure.ts';
import type { Cancellation } from './cancellation.ts';
import { ApiError, type ErrorCode } from './errors.ts';
import { type ChoiceObserver, GenerationMeter } from './generation-meter.ts';
import type { Client } from './http/client.ts';
import type { InFlight, Lease } from './in-flight.ts';
import type { LiveMeter } from './live/live-meter.ts';
import type { Metrics } from './metrics/metrics.ts';
import { type PromptCounter, promptCounter } from './prompt-counter.ts';
import type { RequestRecord } from './requests/request-record.ts';

/** What happens to one of a request's choices. Failures are thrown. */
export interface ChoiceEvent {
  readonly choice: number;
  readonly event: Exclude<BackendEvent, { type: 'error' }>;
}

/** A request's choices while they are generated. */
export interface Generation {
  /** Of all choices, each in its own order. Throws an ApiError when one fails; the others are then aborted. */
  readonly events: AsyncIterable<ChoiceEvent>;
  /** Ends whatever still runs. Must be called in the end, and may be called more than once. */
  close(): void;
}

export interface GenerationOptions {
  readonly backend: Backend;
  readonly model: BackendModel;
  /** Holds what the request may use for whoever it is from. @throws ApiError */
  readonly reserve: (asked: Asked) => Reservation | Promise<Reservation>;
  /** One for each choice. */
  readonly requests: readonly BackendRequest[];
  readonly inFlight: InFlight;
  readonly metrics: Metrics;
  /** null or absent: nobody looks. */
  readonly live?: LiveMeter | null;
  readonly client: Client;
  /** The field that the prompts came from, to be named when one cannot be used. */
  readonly promptParam: 'messages' | 'prompt' | 'input';
  /** Of the request over HTTP that it is for; null or absent: there is none. */
  readonly record?: RequestRecord | null;
}

/** What a backend says of a prompt; these errors are about a field of the request. */
export const PROMPT_ERRORS: ReadonlySet<ErrorCode> = new Set([
  'context_length_exceeded',
  'invalid_prompt',
  'invalid_chat_template',
]);

/** Room for a request, which its client's leaving ends. */
interface Admitted {
  /** As they may be sent. */
  readonly requests: readonly BackendRequest[];
  readonly cancellation: Cancellation;
  /** Is told all that comes of the choices. */
  readonly meter: Meter;
  /** Gives the room back and settles what was used, when nothing runs any more; more than once is once. */
  end(): void;
  /** Ends whatever still runs. */
  leave(): void;
  /** Both. */
  close(): void;
}

async function admit(options: GenerationOptions): Promise<Admitted> {
  const { backend, model, requests, client } = options;
  if (!backend.ready) throw new ApiError('engine_unavailable', 'The engine is not ready yet.');
  const asked = askedOf(model, requests, counterOf(options));
  const reserved = options.reserve(asked);
  const reservation = reserved instanceof Promise ? await reserved : reserved;
  const lease = acquired(options, reservation);
  const meter = new Meter(requests, asked.promptTokens);
  const leave = () =>
    lease.cancellation.cancel(new ApiError('client_closed_request', 'The client closed the request.'));
  const stopListening = client.onLeave(leave);
  if (client.hasLeft) leave();
  let hasEnded = false;
  const end = () => {
    if (hasEnded) return;
    hasEnded = true;
    stopListening();
    lease.release();
    reservation.settle(meter.used());
  };
  const close = () => {
    if (hasEnded) return;
    leave();
    end();
  };
  return {
    requests: reservation.holdsTokens ? withinHold(model, requests) : requests,
    ...{ cancellation: lease.cancellation, meter, end, leave, close },
  };
}

function counterOf(options: GenerationOptions): PromptCounter | null {
  const count = promptCounter(options, schedulingOf(options));
  if (count === null) return null;
  return (prompt) =>
    count(prompt).catch((error: unknown) => {
      throw ofPrompt(error, options);
    });
}

/** Whose the request is: all its choices are the same tenant's. */
function schedulingOf({ requests }: GenerationOptions): SchedulingParams {
  return requests[0]!.scheduling;
}

function acquired(options: GenerationOptions, reservation: Reservation): Lease {
  const { tenant, weight } = schedulingOf(options);
  try {
    return options.inFlight.acquire(tenant, weight, options.requests.length);
  } catch (error) {
    reservation.settle(null);
    throw error;
  }
}

/**
 * Starts the choices and waits until all are accepted and the first has something to say, so that a failure
 * before is still an error of its own and not the end of a stream.
 * @throws ApiError
 */
export async function startGeneration(options: GenerationOptions): Promise<Generation> {
  const { backend, model } = options;
  const { requests, cancellation, meter, end, close } = await admit(options);
  const sources = sent(options, requests).map((request, choice) =>
    backend.generate(model, request, cancellation, (computed) => meter.begin(choice, computed)),
  );
  const merged = mergeChoices(sources, cancellation, measured(options, requests, meter));
  try {
    const first = await untilOutput(merged, requests.length);
    return { events: replay(first, merged, { end, close }), close };
  } catch (error) {
    close();
    throw ofPrompt(error, options);
  }
}

/**
 * Waits for the choices' whole answers.
 * @returns the events of all choices, each in its own order
 * @throws ApiError when one fails; the others are then aborted
 */
export async function generateWhole(options: GenerationOptions): Promise<readonly ChoiceEvent[]> {
  const { backend, model } = options;
  const { answer } = backend;
  const events: ChoiceEvent[] = [];
  if (answer === null) {
    const generation = await startGeneration(options);
    try {
      for await (const event of generation.events) events.push(event);
    } finally {
      generation.close();
    }
    return events;
  }
  const { requests, cancellation, meter, end, leave } = await admit(options);
  const observer = measured(options, requests, meter);
  const ask = async (request: BackendRequest, choice: number) => {
    try {
      const whole = await answer.call(backend, model, request, cancellation, (computed) =>
        meter.begin(choice, computed),
      );
      for (const event of whole) observer.see(choice, event, true);
      cancellation.throwIfCancelled();
      return whole.map((event): ChoiceEvent => ({ choice, event: orThrow(event) }));
    } finally {
      observer.end(choice, true);
    }
  };
  const answers = sent(options, requests).map(ask);
  try {
    return (await Promise.all(answers)).flat();
  } catch (error) {
    leave();
    // Those that it ends tell what came of them, which is at once.
    await Promise.allSettled(answers);
    throw ofPrompt(error, options);
  } finally {
    end();
  }
}

/** Takes down that the requests are handed over, with what another server is told of their trace. */
function sent(
  { backend, record = null }: GenerationOptions,
  requests: readonly BackendRequest[],
): readonly BackendRequest[] {
  const traceHeaders = record?.send(backend.computer) ?? null;
  return traceHeaders === null ? requests : requests.map((request) => ({ ...request, traceHeaders }));
}

/** Who measures the choices from now on. */
function measured(
  { model, metrics, live = null, record = null }: GenerationOptions,
  requests: readonly BackendRequest[],
  meter: Meter,
): ChoiceObserver {
  const sequences = requests.map(({ scheduling: { tenant, priority } }) =>
    metrics.sequence({
      ...{ tenant, model, live },
      isAwaited: priority !== 'batch',
      traceId: record?.traceId ?? null,
    }),
  );
  return new GenerationMeter(meter, sequences, record?.timeline ?? null);
}

/** Names the field that a prompt came from, where that cannot be used. */
function ofPrompt(error: unknown, { promptParam }: GenerationOptions): unknown {
  if (!(error instanceof ApiError) || !PROMPT_ERRORS.has(error.code)) return error;
  return new ApiError(error.code, error.message, promptParam);
}

/** Reads on until every choice has started and one has more to tell; returns all that was read. */
async function untilOutput(events: AsyncIterator<ChoiceEvent>, choices: number): Promise<ChoiceEvent[]> {
  const read: ChoiceEvent[] = [];
  let started = 0;
  while (started < choices || read.length === started) {
    const { done, value } = await events.next();
    if (done) break;
    if (value.event.type === 'start') started++;
    read.push(value);
  }
  return read;
}

async function* replay(
  first: readonly ChoiceEvent[],
  rest: AsyncIterable<ChoiceEvent>,
  { end, close }: Pick<Admitted, 'end' | 'close'>,
): AsyncGenerator<ChoiceEvent> {
  try {
    yield* first;
    yield* rest;
    end();
  } finally {
    close();
  }
}

/**
 * Gives the events of several sources as they come, and throws the reason when they are cancelled. Each
 * source is asked for its next event only after its last was taken, so a slow consumer slows them down and at
 * most one event of each waits here.
 * @param observer told of each before it is given, failures too
 */
export async function* mergeChoices(
  sources: readonly AsyncIterable<BackendEvent>[],
  cancellation: Cancellation,
  observer: ChoiceObserver | null = null,
): AsyncGenerator<ChoiceEvent> {
  type Arrival =
    | { choice: number; result: IteratorResult<BackendEvent> }
    | { choice: number; error: unknown };
  const arrived: Arrival[] = [];
  let wake = () => {};
  const iterators = sources.map((source) => source[Symbol.asyncIterator]());
  const ask = (choice: number) => {
    const arrive = (arrival: Arrival) => {
      arrived.push(arrival);
      wake();
    };
    iterators[choice]?.next().then(
      (result) => arrive({ choice, result }),
      (error: unknown) => arrive({ choice, error }),
    );
  };
  const stopListening = cancellation.onCancel(() => wake());
  try {
    for (const choice of iterators.keys()) ask(choice);
    for (let open = iterators.length; open > 0; ) {
      // At once, even where a source is slow to notice.
      cancellation.throwIfCancelled();
      const arrival = arrived.shift();
      if (arrival === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      if ('error' in arrival) throw arrival.error;
      if (arrival.result.done) {
        open--;
        continue;
      }
      observer?.see(arrival.choice, arrival.result.value);
      yield { choice: arrival.choice, event: orThrow(arrival.result.value) };
      ask(arrival.choice);
    }
  } finally {
    stopListening();
    for (const choice of iterators.keys()) observer?.end(choice);
    // Not awaited: a source that still waits ends when it notices the cancellation.
    for (const iterator of iterators) iterator.return?.().catch(() => {});
  }
}

/** An event that is not the choice's failure; that is thrown. */
function orThrow(event: BackendEvent): ChoiceEvent['event'] {
  if (event.type === 'error') throw apiErrorOf(event);
  if (event.type === 'finish' && event.reason === 'abort') {
    throw new ApiError('engine_unavailable', 'The engine stopped before the answer was complete.');
  }
  return event;
}
