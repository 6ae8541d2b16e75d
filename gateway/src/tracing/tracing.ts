import type { SamplingParams } from '@polylora/engine';
import type { TraceHeaders } from '../backends/backend.ts';
import type { RequestRecord } from '../requests/request-record.ts';
import type { Computer } from '../requests/timeline.ts';

/** Headers of W3C's Trace Context that a client sent; undefined: it did not. */
export interface ClientTrace {
  readonly traceparent: string | undefined;
  readonly tracestate: string | undefined;
}

/** What a trace tells of a request's body: numbers, and never a word of it. */
export interface Asked {
  readonly sampling: SamplingParams;
  /** Whether the client chose the seed. */
  readonly isSeeded: boolean;
  /** Answers that the client wants to each prompt. */
  readonly choices: number;
}

/** A request's trace, while it goes on. */
export interface RequestTrace {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** Whether anybody will see it. */
  readonly isSampled: boolean;
  ask(asked: Asked): void;
  /** It is handed to what computes. @returns what another server is told of the trace; null: it is handed to none */
  send(record: RequestRecord, computer: Computer): TraceHeaders | null;
  /** Makes spans of all that the request's timeline has. */
  end(record: RequestRecord): void;
}

/** Makes traces of requests. */
export interface Tracing {
  begin(record: RequestRecord, client: ClientTrace): RequestTrace;
  /** Sends what is left, for a few seconds at most. */
  close(): Promise<void>;
}
