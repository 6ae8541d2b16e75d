import { useState } from 'preact/hooks';
import type { CacheEntries, CacheEntry, Category } from '../../api/cache-types.ts';
import { ask, pathOf, withQuery } from '../../api/client.ts';
import type { Model, Page as PageOf } from '../../api/types.ts';
import { useAnnounce } from '../../components/announcer.tsx';
import { ConfirmDialog } from '../../components/confirm-dialog.tsx';
import { DataTable } from '../../components/data-table.tsx';
import { SelectField, TextField } from '../../components/fields.tsx';
import { MoreButton } from '../../components/more-button.tsx';
import { Panel } from '../../components/page.tsx';
import { Empty, Loaded } from '../../components/states.tsx';
import { TenantSelect } from '../../components/tenant-select.tsx';
import { bytes, count, duration } from '../../format/numbers.ts';
import { relative } from '../../format/times.ts';
import { usePages } from '../../hooks/pages.ts';
import { useResource } from '../../hooks/resource.ts';
import { useIsOperator } from '../../hooks/session.tsx';
import { useSettled } from '../../hooks/settled.ts';
import { Link, useQueryParam } from '../../router/location.tsx';

/** What is typed into a filter: what it rests on is asked for. */
const REST_MS = 250;

/** The answers that are kept, by what was asked. */
export function Entries() {
  const isOperator = useIsOperator();
  const [words, setWords] = useQueryParam('q');
  const [tenant, setTenant] = useQueryParam('tenant');
  const [model, setModel] = useQueryParam('model');
  const [category, setCategory] = useQueryParam('category');
  const [tag, setTag] = useQueryParam('tag');
  const wanted = JSON.stringify({ q: words.trim(), tenant, model, category, tag });
  const settled = useSettled(wanted, REST_MS);
  const filter = JSON.parse(settled) as Readonly<Record<string, string>>;
  const isFiltered = Object.values(filter).some((value) => value !== '');
  const entries = usePages<CacheEntry, CacheEntries>(
    settled,
    (after, signal) =>
      ask<CacheEntries>(
        'GET',
        withQuery('/admin/v1/cache/entries', { ...filter, questions: true, limit: 50, after }),
        { signal },
      ),
    ({ last_id }) => last_id,
    { keepsOld: true },
  );
  const categories = useResource('categories', (signal) =>
    ask<PageOf<Category>>('GET', '/admin/v1/cache/categories', { signal }),
  );
  const models = useResource('models', (signal) => ask<PageOf<Model>>('GET', '/v1/models', { signal }));
  const listed = entries.data ?? [];
  const isOutdated = entries.isLoading || settled !== wanted;
  return (
    <>
      <search class="filters">
        <TextField
          label="Words of the question"
          type="search"
          value={words}
          onInput={setWords}
          placeholder="Any"
        />
        {isOperator && <TenantSelect label="Tenant" value={tenant} onInput={setTenant} none="All tenants" />}
        <SelectField
          label="Category"
          value={category}
          onInput={setCategory}
          options={[
            { value: '', label: 'Any' },
            ...distinct([...(categories.data?.data.map(({ name }) => name) ?? []), category]).map((name) => ({
              value: name,
              label: name,
            })),
          ]}
        />
        <TextField
          label="Model"
          value={model}
          onInput={setModel}
          placeholder="Any"
          list={distinct([
            ...(models.data?.data.map(({ id }) => id) ?? []),
            ...listed.map((entry) => entry.model),
          ])}
        />
        <TextField
          label="Tag"
          value={tag}
          onInput={setTag}
          placeholder="Any"
          list={distinct(listed.flatMap(({ tags }) => tags))}
        />
      </search>
      <Panel title="Entries, the newest first" isOutdated={isOutdated}>
        <Loaded resource={entries} rows={8}>
          {(data) =>
            data.length > 0 ? (
              <>
                <EntryTable entries={data} reload={entries.reload} />
                <MoreButton pages={entries} />
              </>
            ) : entries.hasMore ? (
              <>
                <Empty title="None of the newest has these words">
                  Questions are looked through some at a time, and there are older ones.
                </Empty>
                <MoreButton pages={entries} />
              </>
            ) : isFiltered ? (
              <Empty title="No entry passes the filters">Clear one of them to see more.</Empty>
            ) : (
              <Empty title="Nothing is kept yet">
                Ask something in the <Link href="/playground">playground</Link> with the answer cache switched
                on there.
              </Empty>
            )
          }
        </Loaded>
      </Panel>
    </>
  );
}

function EntryTable({
  entries,
  reload,
}: {
  readonly entries: readonly CacheEntry[];
  readonly reload: () => void;
}) {
  const announce = useAnnounce();
  const [removed, setRemoved] = useState<CacheEntry | null>(null);
  const remove = async ({ id }: CacheEntry) => {
    await ask('DELETE', pathOf('/admin/v1/cache/entries', id));
    announce('The entry is taken out.');
    reload();
  };
  return (
    <>
      <DataTable
        caption="Entries of the answer cache"
        rows={entries}
        keyOf={({ id }) => id}
        columns={[
          {
            title: 'Question',
            cell: ({ id, question, tags }) => (
              <>
                <div class="question">{question ?? 'not there any more'}</div>
                <div class="small muted">
                  <code>{id}</code> {tags.length > 0 && `tags: ${tags.join(', ')}`}
                </div>
              </>
            ),
          },
          { title: 'Category', cell: (entry) => entry.category },
          { title: 'Tenant', cell: (entry) => entry.tenant },
          { title: 'Model', cell: (entry) => entry.model },
          { title: 'Given', isNumber: true, cell: ({ hits }) => count(hits) },
          { title: 'Took', isNumber: true, cell: (entry) => duration(entry.compute_seconds) },
          { title: 'Size', isNumber: true, cell: (entry) => bytes(entry.bytes) },
          {
            title: 'Made',
            isNumber: true,
            cell: ({ created, expires }) => (
              <>
                {relative(created)}
                <div class="small muted">ends {relative(expires)}</div>
              </>
            ),
          },
          {
            title: 'Remove',
            cell: (entry) => (
              <button type="button" class="button small danger" onClick={() => setRemoved(entry)}>
                Take out<span class="unseen"> the entry {entry.id}</span>
              </button>
            ),
          },
        ]}
      />
      {removed !== null && (
        <ConfirmDialog
          title="Take this entry out?"
          action="Take it out"
          onConfirm={() => remove(removed)}
          onClose={() => setRemoved(null)}
        >
          <div class="stack">
            <p>It is gone from memory and store, and the next such question is answered anew.</p>
            {removed.question != null && <p class="question muted">{removed.question}</p>}
          </div>
        </ConfirmDialog>
      )}
    </>
  );
}

/** Each once, and nothing that is empty. */
function distinct(names: readonly string[]): readonly string[] {
  return [...new Set(names)].filter((name) => name !== '');
}
