import type { Preview } from '../../api/cache-types.ts';
import { ask } from '../../api/client.ts';
import { count } from '../../format/numbers.ts';
import { useResource } from '../../hooks/resource.ts';
import { useSettled } from '../../hooks/settled.ts';

interface PreviewNoteProps {
  /** Of the category in the admin API. */
  readonly path: string;
  readonly values: {
    readonly similarity_threshold: number;
    readonly verify_from: number;
    readonly strictness: number;
  };
}

/** A slider that is being moved says many values: what it rests on is asked for. */
const REST_MS = 200;

/** What the values would have answered of what was asked lately. */
export function PreviewNote({ path, values }: PreviewNoteProps) {
  const asked = useSettled(JSON.stringify(values), REST_MS);
  const { data, error } = useResource(
    `${path} ${asked}`,
    (signal) => ask<Preview>('POST', `${path}/preview`, { body: JSON.parse(asked) as unknown, signal }),
    { keepsOld: true },
  );
  return (
    <div class="note preview" role="status">
      {error !== null ? (
        <p>There is no preview: {error.message}</p>
      ) : data === null ? (
        <p>Looking at what was asked lately …</p>
      ) : data.lookups === 0 ? (
        <p>Nothing was looked up in this category yet, so that there is nothing to preview.</p>
      ) : (
        <PreviewBars preview={data} />
      )}
    </div>
  );
}

function PreviewBars({
  preview: { lookups, hits_now: now, hits_then: then },
}: {
  readonly preview: Preview;
}) {
  const change = then - now;
  const text =
    change === 0
      ? 'As many would have been answered from the cache as now'
      : `${count(Math.abs(change))} ${change > 0 ? 'more' : 'fewer'} would have been answered from the cache`;
  return (
    <>
      <p>
        <strong>
          {text}: {count(then)} of the last {count(lookups)} lookups, now {count(now)}.
        </strong>
      </p>
      <div class="preview-bars" aria-hidden="true">
        <span>Now</span>
        <span class="preview-lane">
          <span style={{ width: `${(now / lookups) * 100}%` }} />
        </span>
        <span>Then</span>
        <span class="preview-lane then">
          <span style={{ width: `${(then / lookups) * 100}%` }} />
        </span>
      </div>
    </>
  );
}
