import type { TenantDatabase } from './tables.ts';

const GROUPS = ['day', 'key', 'model'] as const;
export type SpendGroup = (typeof GROUPS)[number];

export interface SpendQuery {
  readonly tenant: string;
  /** null: all of the tenant's. */
  readonly key: string | null;
  /** UTC days, both counted in. */
  readonly from: string;
  readonly to: string;
  readonly by: readonly SpendGroup[];
  readonly limit: number;
}

/** What was used by whom, when and with which model, as far as it is asked for. */
export interface SpendRow {
  readonly day?: string;
  readonly key?: string;
  readonly model?: string;
  readonly requests: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  /** Billionths of the currency's unit. */
  readonly money: number;
}

/** Sums of what was spent, in the order of what they are of. */
export async function spendRows(
  database: TenantDatabase,
  { tenant, key, from, to, by, limit }: SpendQuery,
): Promise<SpendRow[]> {
  const groups = GROUPS.filter((group) => by.includes(group));
  let query = database
    .selectFrom('spend')
    .where('tenant', '=', tenant)
    .where('day', '>=', from)
    .where('day', '<=', to)
    .select(({ fn }) => [
      ...groups,
      fn.sum('requests').as('requests'),
      fn.sum('prompt_tokens').as('prompt_tokens'),
      fn.sum('cached_tokens').as('cached_tokens'),
      fn.sum('completion_tokens').as('completion_tokens'),
      fn.sum('money').as('money'),
    ])
    .limit(limit);
  if (key !== null) query = query.where('key', '=', key);
  for (const group of groups) query = query.groupBy(group).orderBy(group);
  const rows = await query.execute();
  return rows
    .filter(({ requests }) => requests !== null)
    .map((row) => ({
      ...Object.fromEntries(groups.map((group) => [group, row[group]])),
      requests: Number(row.requests),
      promptTokens: Number(row.prompt_tokens),
      cachedTokens: Number(row.cached_tokens),
      completionTokens: Number(row.completion_tokens),
      money: Number(row.money),
    }));
}
