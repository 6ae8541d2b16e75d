/** The routes of the list of requests. */
import { z } from 'zod';
import { CACHE_RESULTS, FOLLOWED_ROUTES, STATES } from '../requests/request-record.ts';
import { PHASES } from '../requests/timeline.ts';
import type { Operation } from './operation.ts';

const milliseconds = z.number().min(0);
const route = z.enum([...FOLLOWED_ROUTES.keys()]);
const used = z.int().nullable().meta({ description: 'As it was charged; null until that is known.' });

const entry = z.object({
  id: z.string().meta({
    description: 'Like no other, also where the server was started anew. Nothing is to be read in it.',
  }),
  object: z.literal('request'),
  request_id: z.string().meta({ description: 'As in `x-request-id` and the log; clients may choose it.' }),
  at: z.int().meta({ description: 'When it came, in milliseconds since 1970.' }),
  state: z.enum(STATES),
  method: z.string(),
  route,
  status: z.int().nullable(),
  error_code: z.string().nullable(),
  tenant: z.string().nullable(),
  key: z.string().nullable().meta({ description: "The key's id." }),
  model: z.string().nullable(),
  stream: z.boolean(),
  cache: z.enum(CACHE_RESULTS).nullable(),
  choices: z.int().meta({ description: 'Or texts, of an embedding.' }),
  prompt_tokens: used,
  completion_tokens: used,
  cached_prompt_tokens: used,
  duration_ms: milliseconds.nullable(),
  phases: z.array(z.object({ name: z.enum(PHASES), start_ms: milliseconds, duration_ms: milliseconds })),
  trace_id: z.string().nullable().meta({ description: 'Where its trace is sampled.' }),
  prompt: z.string().nullable().meta({ description: 'null unless the operator logs prompts.' }),
});

const requests = { tag: 'Requests', access: 'administrator' } as const;

/** By method and path, as the router has them. */
export const REQUEST_OPERATIONS: Readonly<Record<string, Operation>> = {
  'GET /admin/v1/requests': {
    ...requests,
    summary: 'Requests that run, and the last thousand that ended, the newest first',
    query: z.object({
      limit: z.int().min(1).max(1000).optional(),
      after: z.string().optional().meta({
        description:
          'The `id` of the last one of the page before; refused where the server was started anew since.',
      }),
      tenant: z.string().optional(),
      model: z.string().optional(),
      state: z.enum(STATES).optional(),
      route: route.optional(),
    }),
    answer: {
      schema: z.object({ object: z.literal('list'), data: z.array(entry), has_more: z.boolean() }),
    },
  },
  'GET /admin/v1/requests/live': {
    ...requests,
    summary:
      'An event (`request`) for each request that begins or ends from now on, and one without anything (`alive`) each second in which none does',
    events: { name: 'RequestEvent', schema: z.union([entry, z.object({})]) },
  },
};
