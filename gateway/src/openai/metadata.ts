import { z } from 'zod';
import { atMost } from './schema-parts.ts';

/** What a client attaches to an object for its own use: a few short texts. */
export const metadata = atMost(
  16,
  z.record(z.string().max(64, 'its keys have at most 64 characters.'), z.string().max(512)),
);
