import type { RequestRecord } from '../requests/request-record.ts';

/** Measures requests as OpenTelemetry's conventions for generative AI have it. */
export interface GenAiMetrics {
  /** A request has ended. */
  measure(record: RequestRecord): void;
  /** Sends what is left, for a few seconds at most. */
  close(): Promise<void>;
}
