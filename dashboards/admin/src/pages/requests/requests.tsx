import { useEffect, useState } from 'preact/hooks';
import { ask, withQuery } from '../../api/client.ts';
import type { Page as PageOf, RequestEntry, RequestState } from '../../api/types.ts';
import { ConnectionNote } from '../../components/connection-note.tsx';
import { SelectField, TextField } from '../../components/fields.tsx';
import { Page, Panel } from '../../components/page.tsx';
import { Empty, ErrorNote, Loading } from '../../components/states.tsx';
import { TenantSelect } from '../../components/tenant-select.tsx';
import { useAction } from '../../hooks/action.ts';
import { useLiveStream } from '../../hooks/live-stream.ts';
import { useResource } from '../../hooks/resource.ts';
import { useIsOperator, useSession } from '../../hooks/session.tsx';
import { Link, useQueryParam } from '../../router/location.tsx';
import { merged, passes, type RequestFilter } from './request-list.ts';
import { RequestRow } from './request-row.tsx';
import './requests.css';

const PAGE = 50;
const TICK_MS = 1_000;
const STATES: readonly { readonly value: RequestState | ''; readonly label: string }[] = [
  { value: '', label: 'Any state' },
  { value: 'running', label: 'Running' },
  { value: 'done', label: 'Done' },
  { value: 'failed', label: 'Failed or refused' },
  { value: 'aborted', label: 'Aborted by the client' },
];

/** The last requests, as they come and go. */
export function Requests() {
  const isOperator = useIsOperator();
  const { server } = useSession();
  const [tenant, setTenant] = useQueryParam('tenant');
  const [model, setModel] = useQueryParam('model');
  const [route, setRoute] = useQueryParam('route');
  const [stateParam, setState] = useQueryParam('state');
  const state = STATES.find(({ value }) => value === stateParam)?.value ?? '';
  const filter: RequestFilter = { tenant, model, route, state };
  const key = JSON.stringify(filter);

  const [came, setCame] = useState<readonly RequestEntry[]>([]);
  const [isPaused, setIsPaused] = useState(false);
  const [shown, setShown] = useState<readonly RequestEntry[]>([]);
  const [older, setOlder] = useState<{ readonly key: string; readonly hasMore: boolean } | null>(null);
  const more = useAction();
  const load = (after: string | null) =>
    ask<PageOf<RequestEntry>>('GET', withQuery('/admin/v1/requests', { ...filter, limit: PAGE, after }));
  const first = useResource(key, () => load(null));
  const connection = useLiveStream('/admin/v1/requests/live', {
    request: (entry) => setCame((old) => merged(old, [entry as RequestEntry])),
  });
  useEffect(() => {
    if (first.data !== null) setCame((old) => merged(old, first.data!.data));
  }, [first.data]);
  // After a time without a stream the list may have gaps.
  const { reload } = first;
  useEffect(() => {
    if (connection === 'open') reload();
  }, [connection, reload]);
  useEffect(() => {
    if (!isPaused) setShown(came);
  }, [came, isPaused]);

  const list = shown.filter((entry) => passes(entry, filter));
  const now = useNow(list.some((entry) => entry.state === 'running') && !isPaused);
  const hasMore = older?.key === key ? older.hasMore : (first.data?.has_more ?? false);
  const loadOlder = () =>
    void more.run(async () => {
      const page = await load(list.at(-1)?.id ?? null);
      setCame((old) => merged(old, page.data));
      setShown((old) => merged(old, page.data));
      setOlder({ key, hasMore: page.has_more });
    });
  const isFiltered = Object.values(filter).some((value) => value !== '');
  return (
    <Page
      title="Requests"
      lead={
        server.log_prompts
          ? 'The last thousand requests of this server, with the time each took for what.'
          : 'The last thousand requests of this server, with the time each took for what. Prompts are not kept (--log-prompts).'
      }
      actions={
        <>
          <ConnectionNote connection={connection} />
          <button type="button" class="button" aria-pressed={isPaused} onClick={() => setIsPaused(!isPaused)}>
            {isPaused ? 'Go on' : 'Pause'}
          </button>
        </>
      }
    >
      <search class="filters">
        {isOperator && <TenantSelect label="Tenant" value={tenant} onInput={setTenant} none="All tenants" />}
        <TextField
          label="Model"
          value={model}
          onInput={setModel}
          placeholder="Any"
          list={valuesOf(came, 'model')}
        />
        <TextField
          label="Route"
          value={route}
          onInput={setRoute}
          placeholder="Any"
          list={valuesOf(came, 'route')}
        />
        <SelectField label="State" value={state} onInput={setState} options={STATES} />
      </search>
      <Panel title="Newest first">
        {first.error !== null && <ErrorNote error={first.error} retry={first.reload} />}
        {list.length > 0 ? (
          <>
            <ul class="requests">
              {list.map((entry) => (
                <RequestRow key={entry.id} entry={entry} now={now} showsTenant={isOperator} />
              ))}
            </ul>
            {more.error !== null && <ErrorNote error={more.error} />}
            {hasMore && (
              <div class="more">
                <button type="button" class="button" disabled={more.isBusy} onClick={loadOlder}>
                  {more.isBusy ? 'Loading …' : 'Show older ones'}
                </button>
              </div>
            )}
          </>
        ) : first.isLoading ? (
          <Loading rows={8} />
        ) : (
          first.error === null && <NoRequests isFiltered={isFiltered} />
        )}
      </Panel>
    </Page>
  );
}

function NoRequests({ isFiltered }: { readonly isFiltered: boolean }) {
  if (isFiltered) return <Empty title="No request passes the filters">Clear one of them to see more.</Empty>;
  return (
    <Empty title="No requests yet">
      Ask something in the <Link href="/playground">playground</Link>, and it is here while it runs.
    </Empty>
  );
}

/** What there is to choose from, of what has been seen. */
function valuesOf(entries: readonly RequestEntry[], field: 'model' | 'route'): readonly string[] {
  return [...new Set(entries.map((entry) => entry[field]).filter((value) => value !== null))].sort();
}

/** The time, once a second while it is looked at. */
function useNow(isRunning: boolean): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (!isRunning) return;
    const timer = setInterval(() => setNow(Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, [isRunning]);
  return now;
}
