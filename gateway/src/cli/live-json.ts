/** What `GET /admin/v1/live` says, as far as it is shown. */
import { z } from 'zod';

const percentiles = z.object({ p50: z.number(), p95: z.number(), p99: z.number() }).nullable();

export const snapshotJson = z.object({
  at: z.number(),
  ready: z.boolean(),
  running: z.number(),
  waiting: z.number(),
  in_flight: z.number(),
  pages: z
    .object({
      kv: z.number(),
      prefix: z.number(),
      adapter: z.number(),
      free: z.number(),
      total: z.number(),
    })
    .nullable(),
  resident_adapters: z.number().nullable(),
  running_adapters: z.number().nullable(),
  rates: z.object({
    requests: z.number(),
    errors: z.number(),
    prompt_tokens: z.number(),
    generation_tokens: z.number(),
    cache_lookups: z.number(),
    cache_hits: z.number(),
  }),
  first_token_ms: percentiles,
  inter_token_ms: percentiles,
  queue_ms: percentiles,
  tenants: z.array(
    z.object({
      tenant: z.string(),
      sequences: z.number(),
      service: z.number().nullable(),
      weight: z.number(),
    }),
  ),
});
export const historyJson = z.object({ data: z.array(snapshotJson) });
export type SnapshotJson = z.infer<typeof snapshotJson>;
