import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { UNLIMITED } from '../admission/admission.ts';
import { ApiError, type ErrorCode } from '../errors.ts';
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
import { EQUAL, type Likeness, type Needed } from './likeness.ts';
import type { SentRequest, Work } from './load-controller.ts';
import { type Question, questionOf } from './question.ts';
import { RequestHold } from './request-hold.ts';
import { AnswerCollector, replay, tokensOf } from './stored-answer.ts';
import { TimeLimit } from './time-limit.ts';

const CACHE_HEADER = 'x-polylora-cache';

/** A request that may be answered by the cache. */
export interface CachedRequest {
  readonly generation: GenerationOptions;
  readonly controls: CacheControls;
  /** Whether the client chose the seed. */
  readonly isSeeded: boolean;
  /** Whether it wants its answer piece by piece. */
  readonly isStreamed: boolean;
  /** As its answer's head and the log have it. */
  readonly requestId: string;
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

/** An answer that was given again, and why. */
export interface GivenAnswer extends Likeness {
  readonly requestId: string;
  readonly question: Question;
  readonly level: 'exact' | 'similar' | 'shared';
  /** null where it is shared and not kept. */
  readonly entryId: string | null;
  readonly category: string | null;
  readonly needed: Needed;
  readonly ageSeconds: number;
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
  /** Told of each hit, within the request: it has to be quick. */
  readonly onHit: (given: GivenAnswer) => void;
  /** Told of each request that is sent to the backend and that somebody waits for. @param most it takes until something of it is seen */
  readonly onSent: (most: Work) => SentRequest;
}

/** A request that waits for its answer. */
interface Asking extends CachedRequest {
  readonly limit: TimeLimit;
}

/** Told to those who wait for an answer that they may not share: each then makes its own. */
const NOT_SHARED = Symbol('not shared');

/** Failures that are of whoever was to have the answer first: by its key's limits, or by its own time. */
const OWN_FAILURES: ReadonlySet<ErrorCode> = new Set([
  'rate_limit_exceeded',
  'concurrency_limit_exceeded',
  'budget_held',
  'insufficient_quota',
  'request_exceeds_limit',
  'deadline_exceeded',
]);

/** Stale answers that are made anew at the same time: the others stay stale for now. */
const MOST_REFRESHES = 4;

/** Of usual text. */
const BYTES_OF_TOKEN = 4;
/** After which a tenant's removal is known at every server. */
const KNOWN_MILLISECONDS = 1_000;

const STAYS: Client = { hasLeft: false, onLeave: () => () => {} };

/** Answers requests from the cache; what is not there is made, once for all who ask for the same at the same time. */
export class CachedGeneration {
  readonly #options: CachedGenerationOptions;
  readonly #flights = new Map<string, Flight>();
  /** Entries that are stale and being made anew, by their ids: nobody waits for that, the stale ones are there. */
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
    if (!controls.reads && !controls.stores) {
      this.#options.metrics.looked('bypass', null, null);
      return this.#bypass(request, 'no-store', null);
    }
    const limit = new TimeLimit(generation);
    const hold = await RequestHold.of(generation);
    generation.record?.timeline.lookUp();
    const asking = { ...request, generation: hold.generation, limit };
    try {
      // Who wants it made anew does not wait for another's.
      const answer = await (controls.reads
        ? this.#share(asking, question, flightKey(question, generation, controls))
        : this.#lead(asking, question, null));
      hold.count();
      return answer;
    } catch (error) {
      // What was looked for counts.
      if (error instanceof ApiError && error.code === 'not_cached') hold.count();
      else hold.drop();
      throw error;
    }
  }

  /**
   * Joins whoever asks for the same, or is the first. Where the first fails one of those who wait is the next: its limits and its time are
   * nobody else's affair. What fails once more for another reason fails for all who have waited twice.
   */
  async #share(request: Asking, question: Question, key: string): Promise<CachedAnswer> {
    let [asking, hasFailed] = [request, false];
    for (;;) {
      const flight = this.#flights.get(key);
      if (flight === undefined || flight.isAbandoned) return this.#lead(asking, question, key);
      const joined = await this.#join(asking, question, flight);
      if (!('error' in joined)) return joined;
      const { error } = joined;
      asking = { ...request, generation: request.limit.left(request.generation) };
      if (error === NOT_SHARED) return this.#lead(asking, question, null);
      if (error instanceof ApiError && OWN_FAILURES.has(error.code)) continue;
      if (hasFailed) throw error;
      hasFailed = true;
    }
  }

  /** Waits for an answer that is being made. @returns what it failed with before it began, or that it is not for sharing */
  async #join(
    request: Asking,
    question: Question,
    flight: Flight,
  ): Promise<CachedAnswer | { readonly error: unknown }> {
    const { cache, metrics } = this.#options;
    const { tenant } = question;
    const { client } = request.generation;
    const leave = flight.join(client);
    const begun = flight.begun().then(
      () => null,
      (error: unknown) => ({ error }),
    );
    const failure = await request.limit.within(begun).catch((error: unknown) => {
      leave();
      throw error;
    });
    if (failure !== null) {
      leave();
      if (client.hasLeft) throw new ApiError('client_closed_request', 'The client closed the request.');
      return failure;
    }
    request.generation.record?.timeline.share();
    const { category, entry } = flight;
    if (category !== null) cache.economics.shared({ tenant, category });
    metrics.looked('hit_shared', category, null);
    const { requestId } = request;
    const equal = { similarity: 1, probability: null, needed: EQUAL, ageSeconds: 0 };
    this.#options.onHit({ requestId, question, level: 'shared', entryId: entry, category, ...equal });
    const parts = [
      'hit',
      'level=shared',
      ...ofCategory(category),
      ...(entry === null ? [] : [`id=${entry}`]),
    ];
    return {
      headers: { [CACHE_HEADER]: parts.join('; ') },
      origin: { result: 'hit', level: 'shared', ...(category === null ? {} : { category }) },
      generation: { events: flight.events(), close: leave },
    };
  }

  /** @param key by which others find what is made meanwhile; null: nobody does */
  async #lead(request: Asking, question: Question, key: string | null): Promise<CachedAnswer> {
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
      request.generation.record?.timeline.lookedUp();
      if (found.kind === 'hit') {
        land();
        const { entry } = found;
        const { name } = cache.categoryOf(entry);
        flight.category = name;
        flight.entry = entry.id;
        // Nobody joins any more.
        if (flight.others > 0) {
          cache.economics.sharedSaved({ tenant: question.tenant, category: name }, entry, flight.others);
          void copy(found.answer, flight);
        }
        leave();
        return this.#hit(request, question, found);
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

  #hit(request: Asking, question: Question, hit: Hit): CachedAnswer {
    const { generation, controls, requestId } = request;
    const { level, entry, similarity, probability, needed, ageSeconds } = hit;
    const { name: category } = this.#options.cache.categoryOf(entry);
    const likeness = { similarity, probability, needed, ageSeconds };
    this.#options.onHit({ requestId, question, level, entryId: entry.id, category, ...likeness });
    if (hit.isStale && controls.stores) this.#refresh(request, question, hit);
    if (level === 'similar') {
      this.#options.onSimilar(hit, () => remade(generation));
    }
    return {
      headers: { [CACHE_HEADER]: headerOf(hit) },
      origin: { result: 'hit', level, category: entry.category },
      generation: { events: replay(hit.answer), close: () => {} },
    };
  }

  /** Makes an answer anew for those who ask later, with the tags that it has. */
  #refresh(request: CachedRequest, question: Question, { entry }: Hit): void {
    const { cache, logger } = this.#options;
    const { id, tags } = entry;
    if (this.#refreshed.has(id) || this.#refreshed.size >= MOST_REFRESHES) return;
    this.#refreshed.add(id);
    const flight = new Flight();
    flight.join(STAYS);
    const land = () => void this.#refreshed.delete(id);
    const controls = { ...request.controls, tags };
    const made = cache.embedded(question, controls).then(async (miss) => {
      if (miss.kind !== 'miss') return;
      const generation = unhurried(request.generation);
      const asked = { ...request, controls, generation, isStreamed: false };
      await this.#fly(asked, question, miss, flight, land);
      // It has only begun. Until the new one is there the stale one is better than none.
      await flight.ended();
      if (flight.entry !== null && cache.entry(flight.entry) !== null) {
        await cache.kept.remove([id], 'replaced');
      }
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
    const id = controls.stores ? randomUUID() : null;
    flight.entry = id;
    const collector = new AnswerCollector();
    const started = performance.now();
    // Of an answer that comes whole nobody knows when it began.
    const isWhole = !request.isStreamed && options.backend.answer !== null;
    const sent = this.#sent(options, isWhole);
    const take = (event: ChoiceEvent) => {
      if (flight.isEmpty && !isWhole) sent?.begun();
      collector.take(event);
      flight.push(event);
    };
    const arrive = () => {
      const answer = collector.answer(options.requests.length);
      // Another server does not tell.
      const queued = options.backend.computer === 'engine' ? 1000 * collector.queuedSeconds : null;
      if (answer === null) sent?.failed();
      else sent?.ended(workOf(answer), queued);
      const seconds = Math.max(0, (performance.now() - started) / 1000 - collector.queuedSeconds);
      if (answer !== null && id !== null) {
        const kept = cache.keep(question, controls, miss, answer, seconds, id);
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
      sent?.failed();
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

  /** null: nobody waits for it, and it waits for everybody. */
  #sent({ model, requests }: GenerationOptions, isWhole: boolean): SentRequest | null {
    const { prompt, sampling, scheduling } = requests[0]!;
    if (scheduling.priority === 'batch') return null;
    const longest = sampling.maxTokens ?? model.maxModelLen ?? Number.POSITIVE_INFINITY;
    return this.#options.onSent({
      promptTokens: JSON.stringify(prompt).length / BYTES_OF_TOKEN,
      completionTokens: isWhole ? longest : 0,
    });
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

/** The same for nobody who waits, at nobody's cost: it is the server that wants it. */
function unhurried(generation: GenerationOptions): GenerationOptions {
  return {
    ...generation,
    client: STAYS,
    record: null,
    reserve: () => UNLIMITED,
    requests: generation.requests.map((request) => ({
      ...request,
      id: `${request.id}-again`,
      scheduling: { ...request.scheduling, priority: 'batch', timeoutSeconds: null },
    })),
  };
}

async function remade(generation: GenerationOptions): Promise<StoredAnswer | null> {
  const collector = new AnswerCollector();
  for (const event of await generateWhole(unhurried(generation))) collector.take(event);
  return collector.answer(generation.requests.length);
}

/** Choices are made at the same time, and what a prefix cache has is not read. */
function workOf(answer: StoredAnswer): Work {
  const { promptTokens, completionTokens } = tokensOf(answer);
  const { choices } = answer;
  return {
    promptTokens: promptTokens - (choices[0]?.usage.cachedPromptTokens ?? 0),
    completionTokens: completionTokens / choices.length,
  };
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
