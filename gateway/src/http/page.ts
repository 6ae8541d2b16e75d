import { ApiError } from '../errors.ts';
import { choiceValue, integerValue, quoted } from '../openai/fields.ts';

interface Listed {
  readonly id: string;
}

export interface PageOptions {
  readonly defaultLimit: number;
  readonly maxLimit: number;
}

/**
 * OpenAI's list: the part of `items` that the query asks for by `after`, `limit` and `order`.
 * @param items the newest first
 * @throws ApiError
 */
export function page<T extends Listed>(
  items: readonly T[],
  query: Readonly<Record<string, string>>,
  { defaultLimit, maxLimit }: PageOptions,
  body: (item: T) => object,
): object {
  const { after, limit: given, order = 'desc' } = query;
  const limit =
    given === undefined
      ? defaultLimit
      : integerValue(/^-?\d+$/.test(given) ? Number(given) : given, 'limit', { min: 1, max: maxLimit });
  const ordered = choiceValue(order, 'order', ['asc', 'desc']) === 'asc' ? items.toReversed() : items;
  const last = after === undefined ? -1 : ordered.findIndex(({ id }) => id === after);
  if (after !== undefined && last === -1) {
    throw new ApiError('invalid_value', `Invalid 'after': there is no '${quoted(after)}'.`, 'after');
  }
  const data = ordered.slice(last + 1, last + 1 + limit);
  return {
    object: 'list',
    data: data.map(body),
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: last + 1 + data.length < ordered.length,
  };
}
