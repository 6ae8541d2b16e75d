import { useRef, useState } from 'preact/hooks';
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

interface Options {
  /** Whether the list of another key is shown until this one's comes. */
  readonly keepsOld?: boolean;
}

/**
 * A list that comes in pages, each asked for by the one before. Loaded anew it has as many pages as it had.
 * @param load a page after a cursor; none: the first
 * @param cursorOf what the page after it is asked for by; a page may have no item and yet not be the last
 */
export function usePages<T, P extends Page<T> = Page<T>>(
  key: string,
  load: (after: string | null, signal: AbortSignal) => Promise<P>,
  cursorOf: (page: P) => string | null,
  options: Options = {},
): Pages<T> {
  const wanted = useRef({ key, pages: 1 });
  if (wanted.current.key !== key) wanted.current = { key, pages: 1 };
  const loaded = useResource<readonly P[]>(
    key,
    async (signal) => {
      const pages = [await load(null, signal)];
      for (let last = pages[0]; last?.has_more && pages.length < wanted.current.pages; last = pages.at(-1)) {
        pages.push(await load(cursorOf(last), signal));
      }
      return pages;
    },
    options,
  );
  const [further, setFurther] = useState<{ readonly of: readonly P[] | null; readonly pages: readonly P[] }>({
    of: null,
    pages: [],
  });
  const { isBusy, error, run } = useAction();
  // Pages that followed others are of another list.
  const pages =
    loaded.data === null ? [] : further.of === loaded.data ? [...loaded.data, ...further.pages] : loaded.data;
  const last = pages.at(-1);
  const loadMore = () => {
    if (last === undefined || loaded.isLoading) return;
    void run(async () => {
      const next = await load(cursorOf(last), new AbortController().signal);
      if (wanted.current.key === key) wanted.current.pages = pages.length + 1;
      setFurther({ of: loaded.data, pages: [...pages.slice(loaded.data?.length), next] });
    });
  };
  return {
    ...loaded,
    data: loaded.data === null ? null : pages.flatMap(({ data }) => data),
    hasMore: last?.has_more ?? false,
    isLoadingMore: isBusy,
    moreError: error,
    loadMore,
  };
}
