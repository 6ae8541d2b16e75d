/** What is sent to change a category. */
import type { Category } from '../../api/cache-types.ts';

/** What the dialog changes. */
export interface CategoryValues {
  readonly enabled: boolean;
  readonly similarity_threshold: number;
  readonly verify_from: number;
  readonly strictness: number;
  readonly ttl_seconds: number;
}

/**
 * The body of a change: it takes the place of all that was set here before, so that what was set and is not changed is
 * said again. Of a category of the configuration the rest stays the configuration's, and follows it.
 */
export function categoryBody(category: Category, values: CategoryValues): object {
  if (category.source !== 'api') return values;
  const { name: _name, source: _source, examples, ...fields } = category;
  // Of the API's answer; it is not a field.
  const { object: _object, ...set } = fields as typeof fields & { readonly object?: string };
  return { ...set, ...values, ...(examples.length === 0 ? {} : { examples }) };
}
