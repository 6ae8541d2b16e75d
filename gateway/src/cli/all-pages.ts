import { z } from 'zod';
import type { AdminClient } from './client.ts';
import { understood } from './tenancy-text.ts';

const page = z.object({
  data: z.array(z.unknown()),
  last_id: z.string().nullable(),
  has_more: z.boolean(),
});

/** A whole list of the admin API's, which gives it in pages. */
export async function allPages(
  client: AdminClient,
  list: string,
  query: Readonly<Record<string, string>> = {},
): Promise<unknown[]> {
  const all: unknown[] = [];
  for (let after: string | null = null; ; ) {
    const asked = new URLSearchParams({ limit: '1000', ...query, ...(after === null ? {} : { after }) });
    const { data, last_id, has_more } = understood(
      page,
      await client.request('GET', [list], { query: asked }),
    );
    all.push(...data);
    if (!has_more || last_id === null) return all;
    after = last_id;
  }
}
