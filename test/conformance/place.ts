import { z } from 'zod';

/** What the helpers that parse are asked for. */
export const PLACE = z.object({ capital: z.enum(['Paris', 'Berlin']), river: z.enum(['Seine', 'Spree']) });
