/** The admin dashboard's own routes: its files, and the session of whoever uses it. */
import { z } from 'zod';
import { PAGE } from '../dashboard/paths.ts';
import { signInBody } from '../routes/admin/session.ts';
import type { Operation } from './operation.ts';

const session = z.object({
  role: z.enum(['operator', 'admin']),
  tenant: z.string().nullable().meta({ description: 'Whose administrator; null: an operator.' }),
  key: z
    .string()
    .nullable()
    .meta({ description: "The key's id; null: the operator key of the configuration." }),
  csrf: z.string().meta({
    description: 'Sent as `x-csrf-token` with each request of the session that changes something.',
  }),
  expires_at: z.int().meta({ description: 'Unix time in seconds.' }),
  server: z.object({
    version: z.string(),
    checks_keys: z.boolean(),
    cache: z.enum(['off', 'exact', 'semantic']),
    backend: z.enum(['engine', 'upstream']),
    log_prompts: z.boolean(),
    model: z.string().nullable().meta({ description: 'The base model; null until it is known.' }),
  }),
});

const dashboard = { tag: 'Dashboard', access: 'everybody' } as const;
const page = { type: 'text/html', schema: z.string() };
const sessionAnswer = { name: 'Session', schema: session };

/** By method and path, as the router has them. */
export const DASHBOARD_OPERATIONS: Readonly<Record<string, Operation>> = {
  'GET /admin': { ...dashboard, summary: 'The admin dashboard', answer: page },
  [`GET /admin/:page{${PAGE}}`]: { ...dashboard, summary: 'A page of it', answer: page },
  'GET /admin/assets/:file': { ...dashboard, summary: 'What its pages load' },
  'GET /admin/session': {
    ...dashboard,
    summary: 'Who has signed in, by the cookie',
    answer: sessionAnswer,
  },
  'POST /admin/session': {
    ...dashboard,
    summary: 'Signs in with a key: a cookie stands for it then, for 12 hours',
    request: { schema: signInBody },
    answer: sessionAnswer,
  },
  'DELETE /admin/session': { ...dashboard, summary: 'Signs out', status: 204 },
};
