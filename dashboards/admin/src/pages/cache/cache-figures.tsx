import type { CacheStatus } from '../../api/cache-types.ts';
import { Badge } from '../../components/badge.tsx';
import { Tiles } from '../../components/tiles.tsx';
import { bytes, compact, count, duration, milliseconds, percent } from '../../format/numbers.ts';
import { relative } from '../../format/times.ts';

const EMBEDDING = {
  ready: <Badge tone="good">similar questions</Badge>,
  loading: <Badge tone="warn">loading</Badge>,
  failing: <Badge tone="bad">failing</Badge>,
} as const;

/** What the cache has, and what it saved. */
export function CacheFigures({ status }: { readonly status: CacheStatus }) {
  const { embedding, store, load, categories } = status;
  const sum = (value: (category: CacheStatus['categories'][number]) => number) =>
    categories.reduce((all, category) => all + value(category), 0);
  const hits = sum((category) => category.hits.exact + category.hits.similar + category.hits.shared);
  const lookups = hits + sum(({ misses }) => misses);
  return (
    <Tiles
      tiles={[
        {
          label: 'Finds',
          value: embedding === null ? <Badge>equal questions</Badge> : EMBEDDING[embedding.state],
          about:
            embedding?.state === 'failing' ? 'the log says why' : `counts began ${relative(status.since)}`,
        },
        { label: 'Entries', value: count(status.entries), about: bytes(status.bytes) },
        {
          label: 'Hits',
          value: percent(lookups === 0 ? null : hits / lookups),
          about: `${count(hits)} of ${count(lookups)}`,
        },
        {
          label: 'Saved',
          value: duration(sum(({ saved }) => saved.compute_seconds)),
          about: `${compact(sum(({ saved }) => saved.completion_tokens))} tokens of answers`,
        },
        ...(load === null
          ? []
          : [
              {
                label: 'Queue',
                value: milliseconds(load.wait_ms),
                about: `thresholds relaxed ${percent(load.relaxation, 0)}`,
              },
            ]),
        ...(store === null
          ? []
          : [
              {
                label: 'Store',
                value: store.state === 'up' ? <Badge tone="good">up</Badge> : <Badge tone="bad">away</Badge>,
                about: store.state === 'up' ? '' : 'answers come from memory',
              },
            ]),
      ]}
    />
  );
}
