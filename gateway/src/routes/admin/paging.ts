import type { Context } from 'hono';
import type { GatewayEnv } from '../../http/context.ts';
import { integerValue, unsupported } from '../../openai/fields.ts';
import type { PageQuery } from '../../tenants/tenants.ts';

const PAGE = { min: 1, max: 1_000, usual: 100 } as const;

/** The part of a list that is asked for, and one more: whether there are further ones. */
export function pageOf(c: Context<GatewayEnv>): PageQuery & { readonly asked: number } {
  const { limit: given, after } = c.req.query();
  const asked = given === undefined ? PAGE.usual : queryInteger(given, 'limit', PAGE);
  return { limit: asked + 1, after: after ?? null, asked };
}

/** What is misspelt would be passed over, and a list would be of all that there is. @throws ApiError unsupported_parameter */
export function assertQuery(c: Context<GatewayEnv>, known: readonly string[]): void {
  const unknown = Object.keys(c.req.query()).find((param) => !known.includes(param));
  if (unknown === undefined) return;
  throw unsupported(unknown.slice(0, 64), `is not one of this URL's; there are '${known.join("', '")}'`);
}

export function queryInteger(
  given: string,
  param: string,
  range: { readonly min: number; readonly max: number },
): number {
  return integerValue(/^-?\d{1,15}$/.test(given) ? Number(given) : given, param, range);
}

/** A page, with what to ask for next. */
export function pageBody<T extends { readonly id: string }>(
  found: readonly T[],
  asked: number,
  body: (item: T) => object,
): object {
  const data = found.slice(0, asked);
  return {
    object: 'list',
    data: data.map(body),
    last_id: data.at(-1)?.id ?? null,
    has_more: found.length > asked,
  };
}
