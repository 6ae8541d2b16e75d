/** The routes of what goes on now. */
import { z } from 'zod';
import type { Operation } from './operation.ts';

const at = z.int().meta({ description: 'Milliseconds since 1970.' });
const perSecond = z.number().meta({ description: 'Per second, of the last second.' });
const percentiles = z
  .object({ p50: z.number(), p95: z.number(), p99: z.number() })
  .nullable()
  .meta({ description: 'In milliseconds, of the last 30 seconds; null: there were none.' });

const snapshot = z.object({
  at,
  ready: z.boolean(),
  running: z.int().meta({ description: 'Sequences that run, batches included.' }),
  waiting: z.int(),
  in_flight: z.int().meta({ description: 'Sequences that somebody waits for.' }),
  pages: z
    .object({ kv: z.int(), prefix: z.int(), adapter: z.int(), free: z.int(), total: z.int() })
    .nullable()
    .meta({
      description:
        "What the pool's pages hold; null to a tenant's administrator, and where another server computes.",
    }),
  resident_adapters: z.int().nullable(),
  running_adapters: z.int().nullable(),
  rates: z.object({
    requests: perSecond,
    errors: perSecond,
    prompt_tokens: perSecond,
    generation_tokens: perSecond,
    cache_lookups: perSecond,
    cache_hits: perSecond,
  }),
  first_token_ms: percentiles,
  inter_token_ms: percentiles,
  queue_ms: percentiles,
  tenants: z
    .array(
      z.object({
        tenant: z.string(),
        sequences: z.int().meta({ description: 'Those that run or wait.' }),
        running: z.int(),
        service: z.number().nullable().meta({
          description:
            'What its share of the machine was charged for since the engine started, in tokens: one for each that was read, two for each that was generated; null where another server computes.',
        }),
        weight: z.number(),
      }),
    )
    .meta({ description: 'Those with the most sequences, 20 at most.' }),
});

const adapter = z.string().nullable().meta({
  description: 'A name, or the digest of one that nobody has asked for; null: the base model.',
});
const owner = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('free') }),
  z.object({
    kind: z.literal('kv'),
    request: z.string(),
    tenant: z.string(),
    adapter,
    requests: z.int().meta({
      description:
        'How many requests use the pages together, having begun alike; named is the first of them.',
    }),
  }),
  z.object({
    kind: z.literal('prefix'),
    tenant: z.string().nullable().meta({ description: 'Who may find them; null: all tenants.' }),
    adapter,
  }),
  z.object({
    kind: z.literal('adapter'),
    name: z.string().nullable(),
    digest: z.string(),
    pinned: z.boolean(),
    running: z.int().meta({ description: 'Requests that use it now.' }),
  }),
]);

const backend = z.object({
  id: z.string(),
  kind: z.enum(['engine', 'upstream']),
  ready: z.boolean(),
  model: z.string().nullable(),
  url: z.string().nullable().meta({ description: "Another server's, without credentials." }),
  restarts: z.int().nullable().meta({ description: 'How often the engine died and was started again.' }),
  threads: z.int().nullable(),
  simd: z.string().nullable().meta({ description: 'The instruction set that the engine computes with.' }),
  running: z.int(),
  waiting: z.int(),
  circuit: z.enum(['closed', 'open', 'half_open']).nullable(),
  last_error: z.string().nullable(),
  since: at
    .nullable()
    .meta({ description: 'Since when it is ready, or is not, in milliseconds since 1970.' }),
});

const tag = 'Live';
const pinAnswer = {
  schema: z.object({ name: z.string(), digest: z.string(), pinned: z.boolean() }),
};

/** By method and path, as the router has them. */
export const LIVE_OPERATIONS: Readonly<Record<string, Operation>> = {
  'GET /admin/v1/live': {
    tag,
    access: 'administrator',
    summary:
      'A `history` event with a snapshot of each of the last 300 seconds, as `data`, and then a `snapshot` event each second',
    events: {
      name: 'LiveEvent',
      schema: z.union([z.object({ data: z.array(snapshot) }), snapshot]),
    },
  },
  'GET /admin/v1/pool': {
    tag,
    access: 'operator',
    summary: 'What is in each page of the memory that KV blocks and adapters share',
    answer: {
      schema: z.object({
        object: z.literal('pool'),
        page_bytes: z.int(),
        pages_total: z.int(),
        owners: z.array(owner),
        runs: z.array(z.array(z.int()).length(2)).meta({
          description: 'Of the pages in order: an index of `owners`, and how many pages in a row it has.',
        }),
      }),
    },
  },
  'GET /admin/v1/backends': {
    tag,
    access: 'operator',
    summary: 'What answers come from, and how it is',
    answer: {
      schema: z.object({
        object: z.literal('list'),
        data: z.array(backend),
        has_more: z.literal(false),
      }),
    },
  },
  'PUT /admin/v1/adapters/:name/pin': {
    tag: 'Adapters',
    access: 'operator',
    summary: "Keeps what a name stands for in this server's memory until the server stops",
    answer: pinAnswer,
  },
  'DELETE /admin/v1/adapters/:name/pin': {
    tag: 'Adapters',
    access: 'operator',
    summary: 'Lets it leave the memory when pages are needed',
    answer: pinAnswer,
  },
};
