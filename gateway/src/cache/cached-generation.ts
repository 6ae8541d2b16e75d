import { setTimeout as sleep } from 'node:timers/promises';
import { UNLIMITED } from '../admission/admission.ts';
import { ApiError } from '../errors.ts';
import {
  type ChoiceEvent,
  type Generation,
  type GenerationOptions,
  generateWhole,
  startGeneration,
} from '../generation.ts';
import type { Client } from '../http/client.ts';
import type { Logger } from '../logging.ts';
import type { AnswerCache, Hit, Miss } from './answer-cache.ts';
import type { CacheMetrics } from './cache-metrics.ts';
import type { CacheControls } from './controls.ts';
import type { Entry } from './entries.ts';
import type { StoredAnswer } from './entry.ts';
import { Flight } from './flight.ts';
import { type Question, questionOf } from './question.ts';
import { AnswerCollector, replay, tokensOf } from './stored-answer.ts';

const CACHE_HEADER = 'x-polylora-cache';

/** A request that may be answered by the cache. */
export interface CachedRequest {
  readonly generation: GenerationOptions;
  readonly controls: CacheControls;
  /** Whether the client chose the seed. */
  readonly isSeeded: boolean;
  /** Whether it wants its answer piece by piece. */
  readonly isStreamed: boolean;
  /** Whether whoever asked may still do so. */
  readonly isStillWelcome: () => Promise<boolean>;
}

/** Where an answer came from, for the log. */
export interface AnswerOrigin {
  readonly result: 'hit' | 'miss' | 'bypass';
  /** Of a hit. */
  readonly level?: 'exact' | 'similar' | 'shared';
  readonly category?: string;
}

/** An answer, by the cache or made, and what its head says of that. */
export interface CachedAnswer {
  readonly headers: Readonly<Record<string, string>>;
  readonly origin: AnswerOrigin;
  readonly generation: Generation;
}

/** Told of each answer to a question that was only similar. */
export type OnSimilar = (
  hit: Hit,
  /** Makes the answer anew at the lowest priority; null: it cannot be made. */
  remake: () => Promise<StoredAnswer | null>,
) => void;

export interface CachedGenerationOptions {
  readonly cache: AnswerCache;
  /** What computes the answers: the same name for all that give equal answers to equal requests. */
  readonly server: string;
  readonly metrics: CacheMetrics;
  readonly logger: Logger;
  readonly onSimilar: OnSimilar;
  /** Told of each request that is sent to the backend. @returns what is told when it has begun, or has come to nothing */
  readonly onSent: () => (hasBegun: boolean) => void;
}

const NOTHING_USED = { promptTokens: 0, cachedPromptTokens: 0, completionTokens: 0 };

/** Told to those who wait for an answer that they may not share: each then makes its own. */
const NOT_SHARED = Symbol('not shared');

/** After which a tenant's removal is known at every server. */
const KNOWN_MILLISECONDS = 1_000;

const STAYS: Client = { hasLeft: false, onLeave: () => () => {} };

/** Answers requests from the cache; what is not there is made, once for all who ask for the same at the same time. */
export class CachedGeneration {
  readonly #options: CachedGenerationOptions;
  readonly #flights = new Map<string, Flight>();
  /** Requests whose stale answers are being made anew: nobody waits for that, the stale ones are there. */
  readonly #refreshed = new Set<string>();

  constructor(options: CachedGenerationOptions) {
    this.#options = options;
  }

  /** Answers that are being made for whoever asks for them meanwhile. */
  get flights(): number {
    return this.#flights.size;
  }

  /** @throws ApiError */
  async answer(request: CachedRequest): Promise<CachedAnswer> {
    const { generation, controls, isSeeded } = request;
    const { model, requests } = generation;
    const tenant = requests[0]!.scheduling.tenant;
    const question = questionOf({ tenant, server: this.#options.server, model, requests, isSeeded });
    if (question === null) {
      this.#options.metrics.looked('bypass', null, null);
      return this.#bypass(request, 'unsupported', null);
    }
    // Who wants it made anew does not wait for another's.
    if (!controls.reads) return this.#lead(request, question, null);
    const key = flightKey(question, generation, controls);
    const flight = this.#flights.get(key);
    if (flight !== undefined && !flight.isAbandoned) {
      const shared = await this.#join(request, question, flight);
      // Where it came to nothing, nobody waits a second time.
      return shared ?? this.#lead(request, question, null);
    }
    return this.#lead(request, question, key);
  }

  /** Waits for an answer that is being made. null: it failed before it began, or is not for sharing. */
  async #join(request: CachedRequest, { tenant }: Question, flight: Flight): Promise<CachedAnswer | null> {
    const { cache, metrics } = this.#options;
    const { client } = request.generation;
    const leave = flight.join(client);
    try {
      await flight.begun();
    } catch {
      leave();
      if (client.hasLeft) throw new ApiError('client_closed_request', 'The client closed the request.');
      return null;
    }
    try {
      await reserveNothing(request.generation);
      const { category } = flight;
      if (category !== null) cache.economics.shared({ tenant, category });
      metrics.looked('hit_shared', category, null);
      return {
        headers: { [CACHE_HEADER]: ['hit', 'level=shared', ...ofCategory(category)].join('; ') },
        origin: { result: 'hit', level: 'shared', ...(category === null ? {} : { category }) },
        generation: { events: flight.events(), close: leave },
      };
    } catch (error) {
      leave();
      throw error;
    }
  }

  /** @param key by which others find what is made meanwhile; null: nobody does */
  async #lead(request: CachedRequest, question: Question, key: string | null): Promise<CachedAnswer> {
    const { cache } = this.#options;
    const flight = new Flight();
    // At once: who joins and leaves before would else be the last to leave.
    const leave = flight.join(request.generation.client);
    if (key !== null) this.#flights.set(key, flight);
    const land = () => {
      if (key !== null && this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    try {
      const found = await cache.find(question, request.controls);
      if (found.kind === 'hit') {
        land();
        const { entry } = found;
        const { name } = cache.categoryOf(entry);
        flight.category = name;
        // Nobody joins any more.
        if (flight.others > 0) {
          cache.economics.sharedSaved({ tenant: question.tenant, category: name }, entry, flight.others);
          void copy(found.answer, flight);
        }
        leave();
        return await this.#hit(request, question, found);
      }
      if (found.kind === 'bypass' || request.controls.onlyIfCached) {
        land();
        flight.fail(NOT_SHARED);
        leave();
        if (found.kind === 'bypass') return await this.#bypass(request, found.reason, found.category);
        throw notCached();
      }
      const category = found.category.name;
      flight.category = category;
      await this.#fly(request, question, found, flight, land);
      return {
        headers: { [CACHE_HEADER]: ['miss', ...ofCategory(category)].join('; ') },
        origin: { result: 'miss', category },
        generation: { events: flight.events(), close: leave },
      };
    } catch (error) {
      land();
      flight.fail(error);
      leave();
      throw error;
    }
  }

  async #hit(request: CachedRequest, question: Question, hit: Hit): Promise<CachedAnswer> {
    const { generation, controls } = request;
    await reserveNothing(generation);
    if (hit.isStale && controls.stores) this.#refresh(request, question, hit);
    if (hit.level === 'similar') {
      this.#options.onSimilar(hit, () => remade(generation));
    }
    return {
      headers: { [CACHE_HEADER]: headerOf(hit) },
      origin: { result: 'hit', level: hit.level, category: hit.entry.category },
      generation: { events: replay(hit.answer), close: () => {} },
    };
  }

  /** Makes an answer anew for those who ask later. */
  #refresh(request: CachedRequest, question: Question, { entry }: Hit): void {
    const { cache, logger } = this.#options;
    const key = question.exactKey;
    if (this.#refreshed.has(key)) return;
    this.#refreshed.add(key);
    const flight = new Flight();
    flight.join(STAYS);
    const land = () => void this.#refreshed.delete(key);
    const embedded = cache.embedded(question, request.controls);
    const made = embedded.then(async (miss) => {
      if (miss.kind !== 'miss') return;
      const generation = unhurried(request.generation);
      await this.#fly({ ...request, generation, isStreamed: false }, question, miss, flight, land);
      // It has only begun. Until the new one is there the stale one is better than none.
      await flight.ended();
      await cache.kept.remove([entry.id], 'replaced');
    });
    made
      .catch((error: unknown) => logger.debug({ err: error }, 'a stale answer was not made anew'))
      .finally(land);
  }

  /** Makes an answer for all who wait for it. Resolves when it has begun, or is whole where it comes so. */
  async #fly(
    request: CachedRequest,
    question: Question,
    miss: Miss,
    flight: Flight,
    land: () => void,
  ): Promise<void> {
    const { cache, logger } = this.#options;
    const { controls } = request;
    const options = { ...request.generation, client: flight.client };
    const collector = new AnswerCollector();
    const started = performance.now();
    // Of an answer that comes whole nobody knows when it began.
    const isWhole = !request.isStreamed && options.backend.answer !== null;
    const begun = isWhole ? () => {} : this.#options.onSent();
    const take = (event: ChoiceEvent) => {
      if (flight.isEmpty) begun(true);
      collector.take(event);
      flight.push(event);
    };
    const arrive = () => {
      const answer = collector.answer(options.requests.length);
      const seconds = Math.max(0, (performance.now() - started) / 1000 - collector.queuedSeconds);
      if (answer !== null && controls.stores) {
        const kept = cache.keep(question, controls, miss, answer, seconds);
        this.#takeBack(kept, request).catch((error: unknown) => {
          logger.warn({ err: error }, 'an answer could not be kept');
        });
      }
      if (answer !== null && flight.others > 0) {
        const account = { tenant: question.tenant, category: miss.category.name };
        const cost = { computeSeconds: seconds, ...tokensOf(answer) };
        cache.economics.sharedSaved(account, cost, flight.others);
      }
      // Not before it can be found: whoever asks in between would make it again.
      land();
      flight.finish();
    };
    const crash = (error: unknown) => {
      begun(false);
      land();
      flight.fail(error);
    };
    if (isWhole) {
      try {
        for (const event of await generateWhole(options)) take(event);
        arrive();
      } catch (error) {
        crash(error);
        throw error;
      }
      return;
    }
    const generation = await startGeneration(options).catch((error: unknown) => {
      crash(error);
      throw error;
    });
    const pump = async () => {
      try {
        for await (const event of generation.events) take(event);
        arrive();
      } catch (error) {
        crash(error);
      } finally {
        generation.close();
      }
    };
    void pump();
  }

  /** What was being made for a tenant when that was removed, there or at another server, goes after it. */
  async #takeBack(kept: Promise<Entry | null>, { isStillWelcome }: CachedRequest): Promise<void> {
    const entry = await kept;
    if (entry === null) return;
    await sleep(KNOWN_MILLISECONDS, undefined, { ref: false });
    if (!(await isStillWelcome())) await this.#options.cache.kept.remove([entry.id], 'purged');
  }

  async #bypass(request: CachedRequest, reason: string, category: string | null): Promise<CachedAnswer> {
    if (request.controls.onlyIfCached) throw notCached();
    return {
      headers: { [CACHE_HEADER]: ['bypass', `reason=${reason}`, ...ofCategory(category)].join('; ') },
      origin: { result: 'bypass', ...(category === null ? {} : { category }) },
      generation: await plain(request),
    };
  }
}

/** Those that are served otherwise, or would take other answers of the cache, do not wait for each other. */
function flightKey(
  { exactKey }: Question,
  { requests }: GenerationOptions,
  { category, maxAgeSeconds, similarityThreshold, onlyIfCached }: CacheControls,
): string {
  const taken = [category, maxAgeSeconds, similarityThreshold, onlyIfCached];
  return `${requests[0]!.scheduling.priority} ${taken.join(' ')} ${exactKey}`;
}

/** Past the cache. */
async function plain({ generation, isStreamed }: CachedRequest): Promise<Generation> {
  if (isStreamed) return startGeneration(generation);
  return { events: each(await generateWhole(generation)), close: () => {} };
}

async function* each(events: readonly ChoiceEvent[]): AsyncGenerator<ChoiceEvent> {
  yield* events;
}

async function copy(answer: StoredAnswer, flight: Flight): Promise<void> {
  for await (const event of replay(answer)) flight.push(event);
  flight.finish();
}

/** A request that costs no tokens is still a request. @throws ApiError where its tenant may ask no more for now */
async function reserveNothing({ reserve, model }: GenerationOptions): Promise<void> {
  const reservation = await reserve({ model, promptTokens: 0, completionTokens: 0, counting: null });
  reservation.settle(NOTHING_USED);
}

/** The same for nobody who waits. */
function unhurried(generation: GenerationOptions): GenerationOptions {
  return {
    ...generation,
    client: STAYS,
    requests: generation.requests.map((request) => ({
      ...request,
      id: `${request.id}-again`,
      scheduling: { ...request.scheduling, priority: 'batch', timeoutSeconds: null },
    })),
  };
}

/** At nobody's cost: it is the server that wants to know. */
async function remade(generation: GenerationOptions): Promise<StoredAnswer | null> {
  const collector = new AnswerCollector();
  const options = { ...unhurried(generation), reserve: () => UNLIMITED };
  for (const event of await generateWhole(options)) collector.take(event);
  return collector.answer(generation.requests.length);
}

function ofCategory(category: string | null): readonly string[] {
  return category === null ? [] : [`category=${category}`];
}

function headerOf({ level, entry, similarity, ageSeconds, isStale }: Hit): string {
  const parts = [
    'hit',
    `level=${level}`,
    `category=${entry.category}`,
    `similarity=${similarity.toFixed(3)}`,
    `age=${Math.floor(ageSeconds)}`,
    `id=${entry.id}`,
  ];
  return [...parts, ...(isStale ? ['stale'] : [])].join('; ');
}

function notCached(): ApiError {
  return new ApiError('not_cached', "The cache has no answer, and 'only-if-cached' asks for none else.");
}
