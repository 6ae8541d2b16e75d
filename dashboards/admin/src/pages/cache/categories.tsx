import { useState } from 'preact/hooks';
import type { CacheStatus, Category, CategoryStatus } from '../../api/cache-types.ts';
import { ask } from '../../api/client.ts';
import type { Page } from '../../api/types.ts';
import { Badge } from '../../components/badge.tsx';
import { DataTable } from '../../components/data-table.tsx';
import { Panel } from '../../components/page.tsx';
import { ErrorNote, Loaded } from '../../components/states.tsx';
import { bytes, count, duration, percent } from '../../format/numbers.ts';
import { useResource } from '../../hooks/resource.ts';
import { useIsOperator, useSession } from '../../hooks/session.tsx';
import { CacheFigures } from './cache-figures.tsx';
import { CategoryDialog } from './category-dialog.tsx';
import { NewCategoryDialog } from './new-category-dialog.tsx';

const EVERY_MS = 5_000;

/** The kinds of questions, with their values as they are now. */
export function Categories() {
  const isOperator = useIsOperator();
  const { server } = useSession();
  const status = useResource('cache', (signal) => ask<CacheStatus>('GET', '/admin/v1/cache', { signal }), {
    every: EVERY_MS,
  });
  const configured = useResource('categories', (signal) =>
    ask<Page<Category>>('GET', '/admin/v1/cache/categories', { signal }),
  );
  const [open, setOpen] = useState<string | null>(null);
  const [isCreating, setIsCreating] = useState(false);
  const category = configured.data?.data.find(({ name }) => name === open);
  const reload = () => {
    status.reload();
    configured.reload();
  };
  return (
    <Loaded resource={status} rows={12}>
      {(data) => (
        <>
          <CacheFigures status={data} />
          <Panel
            title="Categories"
            actions={
              isOperator && (
                <button type="button" class="button" onClick={() => setIsCreating(true)}>
                  Create a category
                </button>
              )
            }
          >
            {configured.error !== null && <ErrorNote error={configured.error} retry={configured.reload} />}
            <CategoryTable
              categories={data.categories}
              canOpen={(name) => configured.data?.data.some((each) => each.name === name) === true}
              onOpen={isOperator ? setOpen : null}
            />
            {!isOperator && <p class="small muted">An operator can change them: they are for all tenants.</p>}
          </Panel>
          {category !== undefined && (
            <CategoryDialog
              category={category}
              now={data.categories.find(({ name }) => name === category.name) ?? null}
              onClose={() => setOpen(null)}
              onDone={reload}
            />
          )}
          {isCreating && (
            <NewCategoryDialog
              isRecognizing={server.cache === 'semantic'}
              onClose={() => setIsCreating(false)}
              onDone={reload}
            />
          )}
        </>
      )}
    </Loaded>
  );
}

interface CategoryTableProps {
  readonly categories: readonly CategoryStatus[];
  /** Whether it is known how a category is configured. */
  readonly canOpen: (name: string) => boolean;
  /** null for who may not change them. */
  readonly onOpen: ((name: string) => void) | null;
}

function CategoryTable({ categories, canOpen, onOpen }: CategoryTableProps) {
  const hitsOf = ({ hits }: CategoryStatus) => hits.exact + hits.similar + hits.shared;
  return (
    <DataTable
      caption="Categories with their values as they are now"
      rows={categories}
      keyOf={({ name }) => name}
      columns={[
        {
          title: 'Category',
          cell: ({ name, enabled, recognized }) => (
            <span class="chips">
              {name}
              {!enabled && <Badge tone="warn">off</Badge>}
              {!recognized && <Badge>only where named</Badge>}
            </span>
          ),
        },
        {
          title: 'Similarity',
          isNumber: true,
          cell: (category) => (
            <>
              {category.similarity_threshold.toFixed(3)}
              {category.threshold_offset !== 0 && (
                <div class="small muted">checks: {signed(category.threshold_offset)}</div>
              )}
            </>
          ),
        },
        { title: 'Verified from', isNumber: true, cell: (category) => category.verify_from.toFixed(2) },
        { title: 'Strictness', isNumber: true, cell: ({ strictness }) => strictness.toFixed(2) },
        { title: 'Kept for', isNumber: true, cell: (category) => duration(category.ttl_seconds) },
        {
          title: 'Entries',
          isNumber: true,
          cell: (category) => (
            <>
              {count(category.entries)}
              <div class="small muted">{bytes(category.bytes)}</div>
            </>
          ),
        },
        {
          title: 'Hits',
          isNumber: true,
          cell: (category) => (
            <>
              {percent(category.hit_rate)}
              <div class="small muted">
                {count(hitsOf(category))}, {count(category.hits.similar)} similar
              </div>
            </>
          ),
        },
        {
          title: 'Wrong hits',
          isNumber: true,
          cell: ({ false_hits: wrong }) =>
            wrong === null || wrong.checked === 0 ? (
              <span class="muted">not checked</span>
            ) : (
              <>
                {percent(wrong.rate)}
                <div class="small muted">
                  {percent(wrong.low)} to {percent(wrong.high)}
                </div>
              </>
            ),
        },
        ...(onOpen === null
          ? []
          : [
              {
                title: 'Change',
                cell: ({ name }: CategoryStatus) => (
                  <button
                    type="button"
                    class="button small"
                    disabled={!canOpen(name)}
                    onClick={() => onOpen(name)}
                  >
                    Adjust<span class="unseen"> {name}</span>
                  </button>
                ),
              },
            ]),
      ]}
    />
  );
}

function signed(value: number): string {
  return `${value > 0 ? '+' : ''}${value.toFixed(3)}`;
}
