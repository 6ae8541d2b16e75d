/** Tenants, keys and what they used, in words. */
import { z } from 'zod';
import { CommandError } from './errors.ts';
import { table, timeText } from './text.ts';

const limits = z.looseObject({
  budgets: z.record(z.string(), z.record(z.string(), z.number().nullable()).nullable()).nullish(),
});
export const tenantJson = z.object({
  id: z.string(),
  name: z.string().nullable(),
  blocked: z.boolean(),
  models: z.array(z.string()),
  limits,
  weight: z.number(),
  allow_priority: z.boolean(),
  created: z.number(),
});
export const keyJson = z.object({
  id: z.string(),
  key: z.string().optional(),
  tenant: z.string(),
  role: z.string(),
  alias: z.string().nullable(),
  blocked: z.boolean(),
  models: z.array(z.string()),
  limits,
  expires: z.number().nullable(),
  secrets: z.array(z.object({ prefix: z.string(), expires: z.number().nullable() })),
  created: z.number(),
});
export const spendJson = z.object({
  data: z.array(
    z.object({
      day: z.string().optional(),
      key: z.string().optional(),
      model: z.string().optional(),
      requests: z.number(),
      prompt_tokens: z.number(),
      completion_tokens: z.number(),
      money: z.number(),
    }),
  ),
});
export const priceJson = z.object({
  model: z.string(),
  input: z.number(),
  cached_input: z.number(),
  output: z.number(),
  source: z.enum(['api', 'file']),
});
export type TenantJson = z.infer<typeof tenantJson>;
export type KeyJson = z.infer<typeof keyJson>;

export function understood<S extends z.ZodType>(schema: S, json: unknown): z.output<S> {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  throw new CommandError(
    'The server answered with something that this command does not understand. Is it of another version?',
  );
}

export function tenantsText(tenants: readonly TenantJson[]): string {
  const rows = tenants.map(({ id, name, blocked, models, weight, created }) => [
    id,
    name ?? '-',
    blocked ? 'blocked' : 'open',
    models.join(', ') || 'none',
    String(weight),
    timeText(created * 1000),
  ]);
  return table([['TENANT', 'NAME', 'STATE', 'MODELS', 'WEIGHT', 'CREATED'], ...rows]);
}

export function keysText(keys: readonly KeyJson[]): string {
  if (keys.length === 0) return 'There are no keys. polylora keys create makes one.\n';
  const rows = keys.map(({ id, tenant, role, alias, blocked, expires, secrets }) => [
    id,
    tenant,
    role,
    alias ?? '-',
    secrets.map(({ prefix }) => `${prefix}...`).join(' '),
    stateOf({ blocked, expires }),
    expires === null ? 'never' : timeText(expires * 1000),
  ]);
  return table([['KEY', 'TENANT', 'ROLE', 'ALIAS', 'BEGINS', 'STATE', 'EXPIRES'], ...rows]);
}

/** What a key is now, by this machine's clock. */
export function stateOf({ blocked, expires }: Pick<KeyJson, 'blocked' | 'expires'>): string {
  if (blocked) return 'blocked';
  return hasEnded(expires) ? 'expired' : 'open';
}

/** Each text of a key by how it begins, and when it ends where it does by itself. */
export function secretRows({ secrets }: KeyJson): string[][] {
  return secrets.map(({ prefix, expires }) => {
    const end = expires === null ? '' : ` (${endText(expires)})`;
    return ['begins', `${prefix}...${end}`];
  });
}

/** What became of a rotated key's earlier texts. */
export function earlierText({ secrets }: KeyJson): string {
  const earlier = secrets.flatMap(({ prefix, expires }) => (expires === null ? [] : [{ prefix, expires }]));
  if (earlier.length === 0) return 'The earlier text does not hold any more.\n';
  return earlier.map(({ prefix, expires }) => `The earlier ${prefix}... ${endText(expires)}.\n`).join('');
}

function endText(expires: number): string {
  return `${hasEnded(expires) ? 'ended' : 'ends'} ${timeText(expires * 1000)}`;
}

function hasEnded(expires: number | null): boolean {
  return expires !== null && expires * 1000 <= Date.now();
}

/** A key that was just made: its text is shown this once. */
export function newKeyText(key: KeyJson): string {
  return `${key.key ?? ''}\n${key.id} of ${key.tenant} (${key.role}). The key is shown this once.\n`;
}

/** Models and limits, a line each. */
export function allowanceRows({ models, limits: { budgets, ...rates } }: TenantJson | KeyJson): string[][] {
  const given = Object.entries(rates).filter(([, value]) => value != null);
  const amounts = Object.entries(budgets ?? {}).flatMap(([period, each]) =>
    Object.entries(each ?? {})
      .filter(([, amount]) => amount !== null)
      .map(([unit, amount]) => [`budget (${period})`, `${amount} ${unit}`]),
  );
  return [
    ['models', models.join(', ') || 'none'],
    ...given.map(([field, value]) => [field.replaceAll('_', ' '), String(value)]),
    ...amounts,
  ];
}

export function spendText({ data }: z.infer<typeof spendJson>): string {
  if (data.length === 0) return 'Nothing was used.\n';
  const groups = (['day', 'key', 'model'] as const).filter((group) => data[0]?.[group] !== undefined);
  const rows = data.map((row) => [
    ...groups.map((group) => row[group] || '-'),
    ...[row.requests, row.prompt_tokens, row.completion_tokens, row.money].map(String),
  ]);
  const titles = groups.map((group) => group.toUpperCase());
  return table([[...titles, 'REQUESTS', 'PROMPT', 'COMPLETION', 'MONEY'], ...rows]);
}
