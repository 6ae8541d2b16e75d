import { ask, pathOf, withQuery } from '../../api/client.ts';
import type { Adapter, Release } from '../../api/types.ts';
import { useAnnounce } from '../../components/announcer.tsx';
import { Badge } from '../../components/badge.tsx';
import { DataTable } from '../../components/data-table.tsx';
import { ErrorNote } from '../../components/states.tsx';
import { bytes, shortDigest } from '../../format/numbers.ts';
import { date } from '../../format/times.ts';
import { useAction } from '../../hooks/action.ts';
import type { AdapterContext } from './adapter-page.tsx';
import { MemoryCell } from './memory-cell.tsx';
import { useResidence } from './residence.ts';

interface ReleasesProps extends AdapterContext {
  readonly adapter: Adapter;
}

export function Releases({ adapter, path, tenant, reload }: ReleasesProps) {
  const announce = useAnnounce();
  const { isBusy, error, run } = useAction();
  const residence = useResidence();
  const tagsOf = (digest: string) =>
    Object.entries(adapter.tags)
      .filter(([, of]) => of === digest)
      .map(([tag]) => tag);
  const pin = ({ digest, pinned, release }: Release) =>
    run(async () => {
      await ask(pinned ? 'DELETE' : 'PUT', withQuery(pathOf(`${path}/pins`, digest), { tenant }));
      announce(pinned ? `${release} may be collected again.` : `${release} is kept.`);
      reload();
    });
  const hold = ({ release }: Release, isHeld: boolean) =>
    run(async () => {
      const version = pathOf('/admin/v1/adapters', `${adapter.name}@${release}`);
      await ask(isHeld ? 'PUT' : 'DELETE', withQuery(`${version}/pin`, { tenant }));
      announce(
        isHeld
          ? `${release} is held in memory, as soon as it is loaded.`
          : `${release} may leave the memory.`,
      );
      residence?.reload();
    });
  return (
    <>
      {error !== null && <ErrorNote error={error} />}
      {residence?.error != null && <ErrorNote error={residence.error} retry={residence.reload} />}
      <DataTable
        caption="Versions, the newest first"
        rows={adapter.releases}
        keyOf={({ release }) => release}
        columns={[
          {
            title: 'Version',
            cell: ({ release, digest, pinned }) => (
              <>
                <span class="chips">
                  {release}
                  {tagsOf(digest).map((tag) => (
                    <Badge key={tag} tone="accent">
                      {tag}
                    </Badge>
                  ))}
                  {pinned && <Badge tone="good">pinned</Badge>}
                </span>
                <div class="muted small">
                  <code title={digest}>{shortDigest(digest)}</code>
                </div>
              </>
            ),
          },
          { title: 'Kind', cell: ({ kind, ranks }) => `${kind}, ${ranksText(ranks)}` },
          { title: 'Size', isNumber: true, cell: (release) => bytes(release.bytes) },
          { title: 'From', cell: ({ source }) => sourceText(source) },
          { title: 'Note', cell: ({ note }) => note ?? '' },
          { title: 'Made', isNumber: true, cell: ({ created }) => date(created) },
          ...(residence === null
            ? []
            : [
                {
                  title: 'Memory',
                  cell: (release: Release) =>
                    residence.data === null ? (
                      <span class="muted">…</span>
                    ) : (
                      <MemoryCell
                        residence={residence.data.get(release.digest) ?? null}
                        release={release.release}
                        isBusy={isBusy}
                        onHold={(isHeld) => void hold(release, isHeld)}
                      />
                    ),
                },
              ]),
          {
            title: 'Keep',
            cell: (release) => (
              <span class="actions">
                <button
                  type="button"
                  class="button small"
                  disabled={isBusy}
                  onClick={() => void pin(release)}
                >
                  {release.pinned ? 'Unpin' : 'Pin'}
                  <span class="unseen"> {release.release}</span>
                </button>
                <a
                  class="button small"
                  href={withQuery(`${path}/export`, { version: release.release, tenant })}
                  download
                >
                  Download<span class="unseen"> {release.release}</span>
                </a>
              </span>
            ),
          },
        ]}
      />
    </>
  );
}

/** 'rank 8', or 'ranks 4 to 16' where projections have different ones. */
function ranksText(ranks: Release['ranks']): string {
  const values = Object.values(ranks);
  if (values.length === 0) return 'no ranks';
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? `rank ${least}` : `ranks ${least} to ${most}`;
}

function sourceText({ kind, ...rest }: Release['source']): string {
  const where = Object.values(rest).find((value) => typeof value === 'string');
  return where === undefined ? kind : `${kind}: ${where}`;
}
