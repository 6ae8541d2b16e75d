import type { Cancellation } from '../../cancellation.ts';
import { ApiError } from '../../errors.ts';
import type { Logger } from '../../logging.ts';
import { unsupported } from '../../openai/fields.ts';
import type {
  Backend,
  BackendEmbedding,
  BackendEvent,
  BackendModel,
  BackendRequest,
  BackendVector,
  Computer,
  OnSend,
} from '../backend.ts';
import { apiErrorOf } from '../failure.ts';
import { ChunkReader, start, wholeAnswer } from './answer.ts';
import { EventData } from './event-data.ts';
import {
  AnswerTooLarge,
  failureOf,
  tooLarge,
  UpstreamBroken,
  type UpstreamFailure,
  unavailable,
} from './failure.ts';
import { type UpstreamBody, UpstreamHttp } from './http.ts';
import { UpstreamModels } from './models.ts';
import { Pace } from './pace.ts';
import { Pseudonyms } from './pseudonyms.ts';
import {
  needsEcho,
  type PrefixSharing,
  type PriorityOrder,
  type Telling,
  upstreamEmbedding,
  upstreamRequest,
} from './request-body.ts';
import { vectorsOf } from './vectors.ts';

export interface UpstreamOptions {
  /** Where its `/v1` is. */
  readonly url: string;
  readonly key: string | null;
  readonly prefixes: PrefixSharing;
  readonly priorities: PriorityOrder;
  /** What tenants are called there is made with it. */
  readonly secret: Buffer;
  /** Of an answer that is not streamed; a longer one is broken off. */
  readonly mostAnswerBytes: number;
  readonly logger: Logger;
}

/** The name that always means the base model. */
const BASE_ALIAS = 'base';
/** Of a body that only says what went wrong, more is not read. */
const MOST_FAILURE_BYTES = 64 << 10;
/** Of an answer whose tokens come as they are made. */
const NOTHING_YET = () => 0;

/** Another server with OpenAI's API, and the models and adapters that it serves: for everybody. */
export class UpstreamBackend implements Backend {
  readonly computer = 'upstream';
  readonly tokenizer = null;
  readonly #http: UpstreamHttp;
  readonly #models: UpstreamModels;
  readonly #telling: Telling;
  readonly #logger: Logger;
  readonly #pace = new Pace();
  readonly #key: string | null;
  readonly #url: string;
  #lastError: string | null = null;
  #since = Date.now();

  constructor({ url, key, prefixes, priorities, secret, mostAnswerBytes, logger }: UpstreamOptions) {
    this.#http = new UpstreamHttp(url, key, mostAnswerBytes);
    this.#key = key;
    const { origin, pathname } = new URL(url);
    this.#url = `${origin}${pathname}`;
    this.#telling = { prefixes, priorities, pseudonyms: new Pseudonyms(secret) };
    this.#logger = logger;
    this.#models = new UpstreamModels(this.#http, (isThere, reason) => {
      this.#since = Date.now();
      if (isThere) logger.info({ upstream: this.#http.origin }, 'upstream is there');
      else this.#tell(reason ?? '', 'upstream does not answer');
    });
  }

  /** Resolves once the upstream has told what it serves, however long that takes. @throws UpstreamKeyRefused */
  async start(): Promise<void> {
    await this.#models.untilThere();
    void this.#models.watch();
  }

  get ready(): boolean {
    return this.#models.isThere;
  }

  get base(): BackendModel | null {
    return this.#models.base;
  }

  async models(): Promise<readonly BackendModel[]> {
    return this.#models.list();
  }

  async find(name: string): Promise<BackendModel | null> {
    return name === BASE_ALIAS ? this.#models.base : this.#models.find(name);
  }

  mix(): never {
    throw unsupported(
      'adapters',
      'with weights is not supported by this server, whose answers come from another',
    );
  }

  readonly answer = async (
    model: BackendModel,
    request: BackendRequest,
    cancellation: Cancellation,
    onSend?: OnSend,
  ): Promise<readonly BackendEvent[]> => {
    const began = performance.now();
    const computed = () => {
      const most = request.sampling.maxTokens ?? model.maxModelLen ?? Number.POSITIVE_INFINITY;
      return Math.max(1, Math.min(most, this.#pace.tokensIn(model, secondsSince(began))));
    };
    try {
      const { path, body } = upstreamRequest(model, request, this.#telling, false);
      const send = () => onSend?.(computed);
      const answer = await this.#http.post(path, body, cancellation, send, request.traceHeaders);
      if (answer.status !== 200) return [this.#refused(failureOf(answer))];
      const events = wholeAnswer(answer.body, request);
      for (const event of events)
        if (event.type === 'finish') this.#pace.see(model, event.usage.completionTokens, secondsSince(began));
      return events;
    } catch (error) {
      if (cancellation.isCancelled) return [];
      const broken = this.#broken(error, cancellation);
      if (!(error instanceof AnswerTooLarge)) return [broken];
      // Nobody tells how many tokens it has, and they were computed.
      return [{ type: 'delta', text: '', tokens: computed(), logprobs: null }, broken];
    }
  };

  async *generate(
    model: BackendModel,
    request: BackendRequest,
    cancellation: Cancellation,
    onSend?: OnSend,
  ): AsyncGenerator<BackendEvent> {
    if (needsEcho(request)) {
      yield* await this.answer(model, request, cancellation, onSend);
      return;
    }
    let cancel = () => {};
    try {
      const { path, body } = upstreamRequest(model, request, this.#telling, true);
      const send = () => onSend?.(NOTHING_YET);
      const answer = await this.#http.stream(path, body, cancellation, send, request.traceHeaders);
      cancel = () => answer.body.cancel();
      if (answer.status !== 200) {
        yield this.#refused(failureOf({ ...answer, body: await failureBody(answer.body) }));
        return;
      }
      yield start(request, null);
      const [events, chunks] = [new EventData(), new ChunkReader(request)];
      for (let hasEnded = false; !hasEnded && !chunks.isDone; ) {
        const bytes = await answer.body.next();
        hasEnded = bytes === null;
        for (const data of bytes === null ? events.end() : events.feed(bytes)) {
          const event = chunks.read(data);
          if (event?.type === 'error') {
            yield this.#refused(event);
            return;
          }
          if (event !== null) yield event;
        }
      }
      yield* chunks.end();
    } catch (error) {
      yield this.#broken(error, cancellation);
    } finally {
      cancel();
    }
  }

  async embed(
    model: BackendModel,
    request: BackendEmbedding,
    cancellation: Cancellation,
    onSend?: () => void,
  ): Promise<readonly BackendVector[]> {
    let failure: UpstreamFailure;
    try {
      const { path, body } = upstreamEmbedding(model, request, this.#telling);
      const answer = await this.#http.post(path, body, cancellation, onSend, request.traceHeaders);
      if (answer.status === 200) return vectorsOf(answer.body, request);
      failure = this.#refused(failureOf(answer));
    } catch (error) {
      cancellation.throwIfCancelled();
      failure = this.#broken(error, cancellation);
    }
    throw apiErrorOf(failure);
  }

  /** Its engine's state is the upstream's own to tell: it has metrics of its own. */
  async stats(): Promise<null> {
    return null;
  }

  async pool(): Promise<null> {
    return null;
  }

  async pin(): Promise<never> {
    const message = 'The answers come from another server, which has the adapters. Pin them there.';
    throw new ApiError('adapters_elsewhere', message);
  }

  get computers(): readonly Computer[] {
    return [
      {
        id: 'upstream',
        kind: 'upstream',
        ready: this.ready,
        model: this.base?.id ?? null,
        url: this.#url,
        restarts: null,
        // It is asked whatever became of the requests before.
        circuit: null,
        lastError: this.#lastError,
        since: this.#since,
      },
    ];
  }

  async close(): Promise<void> {
    this.#models.close();
    await this.#http.close();
  }

  /** What a client is told of what the upstream says, which may repeat the key that it was sent. */
  #refused(failure: UpstreamFailure): UpstreamFailure {
    // It was there when the request came: others are told sooner that it is not any more.
    if (failure.code === 'model_not_found') void this.#models.look().catch(() => {});
    const { message, param = null } = failure;
    const withoutKey = { message: this.#withoutKey(message), param: param && this.#withoutKey(param) };
    return { ...failure, ...withoutKey };
  }

  #withoutKey(text: string): string {
    return this.#key === null ? text : text.replaceAll(this.#key, '[key]');
  }

  #tell(reason: string, what: string): void {
    this.#lastError = this.#withoutKey(reason);
    this.#logger.error({ upstream: this.#http.origin, reason: this.#lastError }, what);
  }

  /** What a client is told of what was thrown; why is for the log. */
  #broken(error: unknown, cancellation: Cancellation): UpstreamFailure {
    if (!cancellation.isCancelled) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#tell(reason, 'upstream broke off');
      if (!(error instanceof UpstreamBroken)) void this.#models.look().catch(() => {});
    }
    return error instanceof AnswerTooLarge ? tooLarge() : unavailable();
  }
}

function secondsSince(began: number): number {
  return (performance.now() - began) / 1000;
}

async function failureBody(body: UpstreamBody): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for (
    let piece = await body.next();
    piece !== null && bytes < MOST_FAILURE_BYTES;
    piece = await body.next()
  ) {
    pieces.push(piece);
    bytes += piece.length;
  }
  return Buffer.concat(pieces);
}
