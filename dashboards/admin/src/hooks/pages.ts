import { useState } from 'preact/hooks';
import type { ApiError } from '../api/client.ts';
import type { Page } from '../api/types.ts';
import { useAction } from './action.ts';
import { type Resource, useResource } from './resource.ts';

export interface Pages<T> extends Resource<readonly T[]> {
  readonly hasMore: boolean;
  readonly isLoadingMore: boolean;
  readonly moreError: ApiError | null;
  readonly loadMore: () => void;
}

/**
 * A list that comes in pages, each asked for by the one before.
 * @param load a page after a cursor; none: the first
 * @param cursorOf the cursor after an item, or after the whole page
 */
export function usePages<T, P extends Page<T> = Page<T>>(
  key: string,
  load: (after: string | null) => Promise<P>,
  cursorOf: (last: T, page: P) => string | null,
): Pages<T> {
  const first = useResource(key, () => load(null));
  const [further, setFurther] = useState<{ readonly of: P | null; readonly pages: readonly P[] }>({
    of: null,
    pages: [],
  });
  const { isBusy, error, run } = useAction();
  // Pages that followed another first page are of another list.
  const pages =
    first.data === null ? [] : further.of === first.data ? [first.data, ...further.pages] : [first.data];
  const last = pages.at(-1);
  const lastItem = last?.data.at(-1);
  const loadMore = () => {
    if (last === undefined || lastItem === undefined) return;
    void run(async () => {
      const next = await load(cursorOf(lastItem, last));
      setFurther({ of: first.data, pages: [...pages.slice(1), next] });
    });
  };
  return {
    ...first,
    data: first.data === null ? null : pages.flatMap(({ data }) => data),
    hasMore: last?.has_more ?? false,
    isLoadingMore: isBusy,
    moreError: error,
    loadMore,
  };
}
