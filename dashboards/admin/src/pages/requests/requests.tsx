import { useEffect, useReducer, useState } from 'preact/hooks';
import { ask, withQuery } from '../../api/client.ts';
import type { Page as PageOf, RequestEntry, RequestState } from '../../api/types.ts';
import { ConnectionNote } from '../../components/connection-note.tsx';
import { SelectField, TextField } from '../../components/fields.tsx';
import { Page, Panel } from '../../components/page.tsx';
import { Empty, ErrorNote, Loading } from '../../components/states.tsx';
import { TenantSelect } from '../../components/tenant-select.tsx';
import { useAction } from '../../hooks/action.ts';
import { useBatches } from '../../hooks/batches.ts';
import { useLiveStream } from '../../hooks/live-stream.ts';
import { useResource } from '../../hooks/resource.ts';
import { useIsOperator, useSession } from '../../hooks/session.tsx';
import { Link, useQueryParam } from '../../router/location.tsx';
import {
  merged,
  NO_REQUESTS,
  passes,
  type RequestFilter,
  type RequestNews,
  withNews,
} from './request-list.ts';
import { RequestRow } from './request-row.tsx';
import './requests.css';

const PAGE = 50;
/** Of those that are known, as many are shown at first, and with each "Show older ones". */
const ROWS = 200;
const TICK_MS = 1_000;
const STATES: readonly { readonly value: RequestState | ''; readonly label: string }[] = [
  { value: '', label: 'Any state' },
  { value: 'running', label: 'Running' },
  { value: 'done', label: 'Done' },
  { value: 'failed', label: 'Failed or refused' },
  { value: 'aborted', label: 'Aborted by the client' },
];

/** A page of the list, with what was asked for. */
interface Loaded {
  readonly key: string;
  /** After how many openings of the stream. */
  readonly opening: number;
  readonly page: PageOf<RequestEntry>;
}

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

  const [known, tell] = useReducer(withNews, NO_REQUESTS);
  const { opening } = known;
  /** What is shown while it is paused. */
  const [paused, setPaused] = useState<readonly RequestEntry[] | null>(null);
  const [further, setFurther] = useState<Loaded | null>(null);
  const [rows, setRows] = useState(ROWS);
  const more = useAction();
  const load = async (after: string | null): Promise<Loaded> => {
    const path = withQuery('/admin/v1/requests', { ...filter, limit: PAGE, after });
    return { key, opening, page: await ask<PageOf<RequestEntry>>('GET', path) };
  };
  const key = `${opening} ${JSON.stringify(filter)}`;
  const first = useResource(key, () => load(null), { keepsOld: true });
  const batches = useBatches<RequestEntry>((entries) => tell({ kind: 'came', entries }));
  const connection = useLiveStream(
    '/admin/v1/requests/live',
    { request: (entry) => batches.add(entry as RequestEntry) },
    () => {
      batches.clear();
      tell({ kind: 'opened' });
    },
  );
  useEffect(() => {
    if (first.data !== null) tell(pageOf(first.data));
  }, [first.data]);

  const list = (paused ?? known.list).filter((entry) => passes(entry, filter));
  const shown = list.slice(0, rows);
  // Where nobody tells of them any more nobody knows whether they still run.
  const isLive = paused === null && connection === 'open';
  const now = useNow(isLive && shown.some((entry) => entry.state === 'running'));
  const last = further?.key === key ? further : first.data;
  const hasMore = list.length > rows || (last?.page.has_more ?? false);
  const showOlder = () => {
    if (list.length > rows) {
      setRows(rows + ROWS);
      return;
    }
    void more.run(async () => {
      const loaded = await load(last?.page.data.at(-1)?.id ?? null);
      tell(pageOf(loaded));
      setPaused((old) => (old === null ? null : merged(old, loaded.page.data)));
      setFurther(loaded);
      setRows((old) => Math.max(old, list.length + loaded.page.data.length));
    });
  };
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
          <button
            type="button"
            class="button"
            aria-pressed={paused !== null}
            onClick={() => setPaused(paused === null ? known.list : null)}
          >
            {paused === null ? 'Pause' : 'Go on'}
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
          list={valuesOf(known.list, 'model')}
        />
        <TextField
          label="Route"
          value={route}
          onInput={setRoute}
          placeholder="Any"
          list={valuesOf(known.list, 'route')}
        />
        <SelectField label="State" value={state} onInput={setState} options={STATES} />
      </search>
      <Panel title="Newest first">
        {first.error !== null && <ErrorNote error={first.error} retry={first.reload} />}
        {list.length > 0 ? (
          <>
            <ul class="requests">
              {shown.map((entry) => (
                <RequestRow key={entry.id} entry={entry} now={now} showsTenant={isOperator} />
              ))}
            </ul>
            {more.error !== null && <ErrorNote error={more.error} />}
            {hasMore && (
              <div class="more">
                <button type="button" class="button" disabled={more.isBusy} onClick={showOlder}>
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

function pageOf({ opening, page }: Loaded): RequestNews {
  return { kind: 'page', opening, entries: page.data };
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
