import { useState } from 'preact/hooks';
import type { Snapshot } from '../../api/types.ts';
import { Badge } from '../../components/badge.tsx';
import { Chart, type Series } from '../../components/chart/chart.tsx';
import { ConnectionNote } from '../../components/connection-note.tsx';
import { Page } from '../../components/page.tsx';
import { Empty, Loading } from '../../components/states.tsx';
import { Tiles } from '../../components/tiles.tsx';
import { compact, count, milliseconds, NONE, percent } from '../../format/numbers.ts';
import { useLiveStream } from '../../hooks/live-stream.ts';
import { useIsOperator, useSession } from '../../hooks/session.tsx';
import { Link } from '../../router/location.tsx';
import { historyOf, withSnapshot } from './history.ts';
import { TenantShares } from './tenant-shares.tsx';

/** What the server does now and did in the last five minutes. */
export function Overview() {
  const [history, setHistory] = useState<readonly Snapshot[] | null>(null);
  const isOperator = useIsOperator();
  const { tenant } = useSession();
  const connection = useLiveStream('/admin/v1/live', {
    history: (data) => setHistory(historyOf((data as { data: Snapshot[] }).data)),
    snapshot: (data) => setHistory((old) => withSnapshot(old ?? [], data as Snapshot)),
  });
  const latest = history?.at(-1);
  return (
    <Page
      title="Overview"
      lead={
        isOperator
          ? 'The last five minutes, second by second.'
          : `What ${tenant} asked in the last five minutes.`
      }
      actions={<ConnectionNote connection={connection} />}
    >
      {history === null && connection === 'lost' ? (
        <Empty title="No live figures">
          The server does not send them now. It is asked again by itself, and they appear here as soon as it
          answers.
        </Empty>
      ) : history === null ? (
        <Loading rows={12} label="Waiting for the first figures" />
      ) : latest === undefined ? (
        <Empty title="No figures yet">The server has just started: they come within a second or two.</Empty>
      ) : (
        <>
          <Now snapshot={latest} />
          <Charts history={history} />
          {latest.tenants.length > 0 && isOperator && <TenantShares history={history} />}
        </>
      )}
    </Page>
  );
}

function Now({ snapshot }: { readonly snapshot: Snapshot }) {
  const {
    ready,
    running,
    waiting,
    rates,
    first_token_ms: firstToken,
    resident_adapters: resident,
  } = snapshot;
  const { server } = useSession();
  const hitRate = rates.cache_lookups === 0 ? null : rates.cache_hits / rates.cache_lookups;
  return (
    <Tiles
      tiles={[
        {
          label: 'State',
          value: ready ? <Badge tone="good">Ready</Badge> : <Badge tone="bad">Not ready</Badge>,
          ...(ready ? {} : { about: <Link href="/backends">See the backends</Link> }),
        },
        { label: 'Running', value: count(running), about: `${count(waiting)} waiting` },
        {
          label: 'Requests a second',
          value: compact(rates.requests),
          about: `${compact(rates.errors)} failed`,
        },
        {
          label: 'Tokens a second',
          value: compact(rates.generation_tokens),
          about: `${compact(rates.prompt_tokens)} of prompts`,
        },
        {
          label: 'First token, median',
          value: milliseconds(firstToken?.p50),
          about: firstToken === null ? 'no request in 30 s' : `95 %: ${milliseconds(firstToken.p95)}`,
        },
        ...(resident === null
          ? []
          : [
              {
                label: 'Adapters loaded',
                value: count(resident),
                about: `${count(snapshot.running_adapters)} running`,
              },
            ]),
        {
          label: 'Cache hits',
          value: server.cache === 'off' ? 'off' : percent(hitRate, 0),
          about:
            server.cache === 'off' ? (
              <Link href="/cache">How to turn it on</Link>
            ) : rates.cache_lookups === 0 ? (
              'nothing looked up'
            ) : (
              `${compact(rates.cache_lookups)} looked up`
            ),
        },
      ]}
    />
  );
}

function Charts({ history }: { readonly history: readonly Snapshot[] }) {
  const times = history.map(({ at }) => at / 1_000);
  const line = (
    label: string,
    colour: string,
    value: (snapshot: Snapshot) => number | null | undefined,
  ): Series => ({ label, colour, values: history.map((snapshot) => value(snapshot) ?? null) });
  const number = (value: number | null) => (value === null ? NONE : compact(value));
  const time = (value: number | null) => (value === null ? NONE : milliseconds(value));
  const hasPages = history.some(({ pages }) => pages !== null);
  return (
    <div class="grid charts">
      <Chart
        title="Tokens a second"
        times={times}
        show={number}
        series={[
          line('answers', '--series-1', ({ rates }) => rates.generation_tokens),
          line('prompts', '--series-2', ({ rates }) => rates.prompt_tokens),
        ]}
      />
      <Chart
        title="Requests"
        times={times}
        show={number}
        series={[
          line('running', '--series-1', ({ running }) => running),
          line('waiting', '--series-2', ({ waiting }) => waiting),
          line('failed a second', '--series-3', ({ rates }) => rates.errors),
        ]}
      />
      <Chart
        title="Time to first token"
        times={times}
        show={time}
        series={[
          line('median', '--series-1', ({ first_token_ms: ms }) => ms?.p50),
          line('95 %', '--series-2', ({ first_token_ms: ms }) => ms?.p95),
          line('99 %', '--series-3', ({ first_token_ms: ms }) => ms?.p99),
        ]}
      />
      <Chart
        title="Time between tokens"
        times={times}
        show={time}
        series={[
          line('median', '--series-1', ({ inter_token_ms: ms }) => ms?.p50),
          line('95 %', '--series-2', ({ inter_token_ms: ms }) => ms?.p95),
        ]}
      />
      <Chart
        title="Time in the queue"
        times={times}
        show={time}
        series={[
          line('median', '--series-1', ({ queue_ms: ms }) => ms?.p50),
          line('95 %', '--series-2', ({ queue_ms: ms }) => ms?.p95),
        ]}
      />
      {hasPages && (
        <Chart
          title="Pages of memory"
          times={times}
          show={number}
          isStacked
          series={[
            line('adapters', '--adapter', ({ pages }) => pages?.adapter),
            line('sequences (KV)', '--kv', ({ pages }) => pages?.kv),
            line('prefixes', '--prefix', ({ pages }) => pages?.prefix),
          ]}
        />
      )}
    </div>
  );
}
