/** Fields that say for whom a request is and what it is filed under, and change nothing of the answer. */
import { hash } from 'node:crypto';
import { z } from 'zod';
import type { Account } from '../backends/backend.ts';
import { metadata } from './metadata.ts';
import { optional } from './schema-parts.ts';

const MAX_LENGTH = 512;

export const accountFields = {
  user: optional(
    z.string().max(MAX_LENGTH),
    'Your user, by any name. The log has a hash of it, and so has another server that computes the answers.',
  ),
  safety_identifier: optional(z.string().max(MAX_LENGTH), 'The newer name of `user`.'),
  prompt_cache_key: optional(
    z.string().max(MAX_LENGTH),
    "Taken and not needed: all of a tenant's prefixes are found. To share less, use `cache_salt`. Another server that computes the answers is told a hash of it.",
  ),
  metadata: optional(metadata, 'Up to 16 short texts for your own use.'),
};

const accountShape = z.object(accountFields);

/** What the log says of a client's user: the same for the same user, and not who it is. */
export function userHash(body: z.output<typeof accountShape>): string | null {
  const user = body.safety_identifier ?? body.user ?? '';
  return user === '' ? null : hash('sha256', user, 'hex').slice(0, 16);
}

/** What a backend is told; null where the client says nothing. */
export function accountOf(body: z.output<typeof accountShape>): Account | null {
  const {
    user = null,
    safety_identifier: safetyIdentifier = null,
    prompt_cache_key: promptCacheKey = null,
  } = body;
  if (user === null && safetyIdentifier === null && promptCacheKey === null) return null;
  return { user, safetyIdentifier, promptCacheKey };
}
