import { ask } from '../../api/client.ts';
import type { BackendStatus, Page as PageOf } from '../../api/types.ts';
import { Badge, type Tone } from '../../components/badge.tsx';
import { Facts } from '../../components/facts.tsx';
import { OperatorsOnly } from '../../components/off.tsx';
import { Page, Panel } from '../../components/page.tsx';
import { Empty, Loaded } from '../../components/states.tsx';
import { count } from '../../format/numbers.ts';
import { date, relative } from '../../format/times.ts';
import { useResource } from '../../hooks/resource.ts';
import { useIsOperator } from '../../hooks/session.tsx';

const EVERY_MS = 3_000;

/** What computes the answers. */
export function Backends() {
  const isOperator = useIsOperator();
  const backends = useResource(
    isOperator ? 'backends' : null,
    (signal) => ask<Pick<PageOf<BackendStatus>, 'data'>>('GET', '/admin/v1/backends', { signal }),
    { every: EVERY_MS },
  );
  return (
    <Page title="Backends" lead="What computes the answers: the engine of this machine, or another server.">
      {isOperator ? (
        <Loaded resource={backends} rows={8}>
          {({ data }) =>
            data.length === 0 ? (
              <Empty title="No backend yet">The server is starting: the model is being made ready.</Empty>
            ) : (
              <div class="grid">
                {data.map((backend) => (
                  <BackendPanel key={backend.id} backend={backend} />
                ))}
              </div>
            )
          }
        </Loaded>
      ) : (
        <OperatorsOnly />
      )}
    </Page>
  );
}

function BackendPanel({ backend }: { readonly backend: BackendStatus }) {
  const { id, kind, ready, model, url, restarts, threads, simd, running, waiting, circuit, since } = backend;
  const lastError = backend.last_error;
  return (
    <Panel
      title={id}
      actions={ready ? <Badge tone="good">Ready</Badge> : <Badge tone="bad">Not ready</Badge>}
    >
      <Facts
        facts={[
          ['Kind', kind === 'engine' ? 'Engine of this machine' : 'Another server'],
          ['Model', model],
          ['Address', url === null ? null : <code key="url">{url}</code>],
          ['Requests', `${count(running)} running, ${count(waiting)} waiting`],
          [
            ready ? 'Ready since' : 'Away since',
            since === null ? null : `${date(since / 1_000)}, ${relative(since / 1_000)}`,
          ],
          ['Restarts', restarts === null ? null : count(restarts)],
          ['Threads', threads === null ? null : `${count(threads)}${simd === null ? '' : `, ${simd}`}`],
          ['Circuit', circuit === null ? null : <CircuitNote key="circuit" circuit={circuit} />],
          ['Last error', lastError === null ? null : <span class="bad-text">{lastError}</span>],
        ]}
      />
    </Panel>
  );
}

function CircuitNote({ circuit }: { readonly circuit: Circuit }) {
  const { name, tone, about } = CIRCUITS[circuit];
  return (
    <>
      <Badge tone={tone}>{name}</Badge> {about}
    </>
  );
}

type Circuit = NonNullable<BackendStatus['circuit']>;

const CIRCUITS: Readonly<
  Record<Circuit, { readonly name: string; readonly tone: Tone; readonly about: string }>
> = {
  closed: { name: 'Closed', tone: 'good', about: 'requests go through' },
  half_open: { name: 'Half open', tone: 'warn', about: 'a request tries whether it is back' },
  open: { name: 'Open', tone: 'bad', about: 'it failed too often, and is left alone for a while' },
};
