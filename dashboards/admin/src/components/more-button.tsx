import type { Pages } from '../hooks/pages.ts';
import { ErrorNote } from './states.tsx';

/** Fetches the next page of a list, where there is one. */
export function MoreButton<T>({ pages }: { readonly pages: Pages<T> }) {
  const { hasMore, isLoadingMore, moreError, loadMore } = pages;
  if (!hasMore) return null;
  return (
    <div class="more">
      {moreError !== null && <ErrorNote error={moreError} />}
      <button type="button" class="button" disabled={isLoadingMore} onClick={loadMore}>
        {isLoadingMore ? 'Loading …' : 'Show more'}
      </button>
    </div>
  );
}
