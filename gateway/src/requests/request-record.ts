import type { Used } from '../admission/asked.ts';
import type { TraceHeaders } from '../backends/backend.ts';
import type { AnswerOrigin } from '../cache/cached-generation.ts';
import type { ErrorCode } from '../errors.ts';
import type { RequestTrace } from '../tracing/tracing.ts';
import { type Computer, Timeline } from './timeline.ts';

export const STATES = ['running', 'done', 'failed', 'aborted'] as const;
export type RequestState = (typeof STATES)[number];

/** What the answer cache did for a request. */
export const CACHE_RESULTS = ['exact', 'similar', 'shared', 'miss', 'bypass'] as const;
export type CacheResult = (typeof CACHE_RESULTS)[number];

/** Routes that compute something, with what OpenTelemetry calls that. Requests to them are followed. */
export const FOLLOWED_ROUTES: ReadonlyMap<string, 'chat' | 'text_completion' | 'embeddings'> = new Map([
  ['/v1/chat/completions', 'chat'],
  ['/v1/completions', 'text_completion'],
  ['/v1/responses', 'chat'],
  ['/v1/embeddings', 'embeddings'],
]);

/** What a request asks for, once its body was read. */
interface Read {
  readonly model: string;
  /** Whether that is several adapters, which have no name together. */
  readonly isMixture: boolean;
  readonly stream: boolean;
  readonly choices: number;
  /** null unless the operator has asked for prompts. */
  readonly prompt: string | null;
}

export interface RequestArrival {
  /** Like no other request's, also of the processes that were or will be this server. */
  readonly id: string;
  /** Of this server's requests; a later one has a larger number. */
  readonly number: number;
  readonly requestId: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** By `performance.now()`. */
  readonly arrived: number;
  readonly method: string;
  /** A pattern of ours, never the client's path. */
  readonly route: string;
}

/** A request while it is answered and for some time after. Holds nothing of its body, unless prompts are logged. */
export class RequestRecord {
  readonly id: string;
  readonly number: number;
  readonly requestId: string;
  readonly at: number;
  readonly method: string;
  readonly route: string;
  readonly timeline: Timeline;
  tenant: string | null = null;
  key: string | null = null;
  model: string | null = null;
  isMixture = false;
  stream = false;
  choices = 1;
  prompt: string | null = null;
  cache: CacheResult | null = null;
  /** The category that the cache took it for. */
  category: string | null = null;
  status: number | null = null;
  errorCode: ErrorCode | null = null;
  /** What it was charged for; null: it ended before anything was, or has not ended. */
  used: Used | null = null;
  state: RequestState = 'running';
  /** Until it has ended; null where nobody traces. */
  trace: RequestTrace | null = null;
  /** null unless its trace is sampled. */
  traceId: string | null = null;

  constructor({ id, number, requestId, at, arrived, method, route }: RequestArrival) {
    this.id = id;
    this.number = number;
    this.requestId = requestId;
    this.at = at;
    this.method = method;
    this.route = route;
    this.timeline = new Timeline(arrived);
  }

  read({ model, isMixture, stream, choices, prompt }: Read): void {
    this.model = model;
    this.isMixture = isMixture;
    this.stream = stream;
    this.choices = choices;
    this.prompt = prompt;
  }

  /** It is admitted, and handed over. @returns what another server is told of its trace */
  send(computer: Computer): TraceHeaders | null {
    this.timeline.send(computer);
    return this.trace?.send(this, computer) ?? null;
  }

  origin({ result, level, category }: AnswerOrigin): void {
    this.cache = result === 'hit' ? (level ?? null) : result;
    this.category = category ?? null;
  }

  /** It failed, also after its status line was sent; the first failure counts. */
  fail(code: ErrorCode): void {
    this.errorCode ??= code;
  }

  /** Nothing more comes of it. */
  end(): void {
    this.timeline.end();
    if (this.errorCode === null) this.state = 'done';
    else this.state = this.errorCode === 'client_closed_request' ? 'aborted' : 'failed';
    this.trace?.end(this);
    this.trace = null;
  }
}
