/** What stands where data would be: while it comes, when there is none, when it failed, and what is not switched on. */
import type { ComponentChildren } from 'preact';
import type { ApiError } from '../api/client.ts';
import type { Resource } from '../hooks/resource.ts';
import { adviceFor } from './advice.ts';

/** @param rows about as high as what comes, so that nothing jumps */
export function Loading({
  rows = 5,
  label = 'Loading',
}: {
  readonly rows?: number;
  readonly label?: string;
}) {
  return (
    <div class="skeleton" role="status" aria-label={label}>
      {Array.from({ length: rows }, (_, row) => (
        <span key={row} class="skeleton-row" />
      ))}
    </div>
  );
}

export function ErrorNote({ error, retry }: { readonly error: ApiError; readonly retry?: () => void }) {
  const advice = adviceFor(error);
  return (
    <div class="note bad" role="alert">
      <p>
        <strong>{error.message}</strong>
      </p>
      {advice !== null && <p>{advice}</p>}
      <p class="small muted">
        Code <code>{error.code}</code>
        {error.param !== null && (
          <>
            {' '}
            in <code>{error.param}</code>
          </>
        )}
      </p>
      {retry !== undefined && (
        <button type="button" class="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

interface EmptyProps {
  readonly title: string;
  /** What to do first. */
  readonly children: ComponentChildren;
}

export function Empty({ title, children }: EmptyProps) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      <div>{children}</div>
    </div>
  );
}

interface LoadedProps<T> {
  readonly resource: Resource<T>;
  readonly rows?: number;
  readonly children: (data: T) => ComponentChildren;
}

/** Shows what has come; what failed later stands above what came before it. */
export function Loaded<T>({ resource, rows, children }: LoadedProps<T>) {
  const { data, error, reload } = resource;
  return (
    <>
      {error !== null && <ErrorNote error={error} retry={reload} />}
      {data === null
        ? error === null && <Loading {...(rows === undefined ? {} : { rows })} />
        : children(data)}
    </>
  );
}
