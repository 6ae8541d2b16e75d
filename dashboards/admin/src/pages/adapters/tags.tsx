import { useState } from 'preact/hooks';
import { ask, pathOf, withQuery } from '../../api/client.ts';
import type { Adapter } from '../../api/types.ts';
import { useAnnounce } from '../../components/announcer.tsx';
import { ConfirmDialog } from '../../components/confirm-dialog.tsx';
import { SelectField, TextField } from '../../components/fields.tsx';
import { ErrorNote } from '../../components/states.tsx';
import { shortDigest } from '../../format/numbers.ts';
import { useAction } from '../../hooks/action.ts';
import type { AdapterContext } from './adapter-page.tsx';

interface TagsProps extends AdapterContext {
  readonly adapter: Adapter;
}

/** Names for versions, which are moved: clients that ask for `name@stable` follow. */
export function Tags({ adapter, path, tenant, reload }: TagsProps) {
  const { name, tags, releases } = adapter;
  const announce = useAnnounce();
  const { isBusy, error, run } = useAction();
  const [tag, setTag] = useState('');
  const [version, setVersion] = useState(releases[0]?.release ?? '');
  const [confirmed, setConfirmed] = useState<'move' | { readonly removed: string } | null>(null);
  const set = tag.trim();
  const digestOf = (release: string) => releases.find((each) => each.release === release)?.digest;
  /** What the tag that is being set stands for now; null where it is new, or stays what it is. */
  const moved = Object.hasOwn(tags, set) && tags[set] !== digestOf(version) ? (tags[set] ?? null) : null;
  const releaseOf = (digest: string) => releases.find((release) => release.digest === digest)?.release;
  const move = async () => {
    await ask('PUT', withQuery(pathOf(`${path}/tags`, set), { tenant }), { body: { version } });
    announce(`${set} is ${version} now.`);
    setTag('');
    reload();
  };
  const onSubmit = (event: Event) => {
    event.preventDefault();
    if (moved === null) void run(move);
    else setConfirmed('move');
  };
  const remove = async (removed: string) => {
    await ask('DELETE', withQuery(pathOf(`${path}/tags`, removed), { tenant }));
    announce(`The tag ${removed} is taken away.`);
    reload();
  };
  const close = () => setConfirmed(null);
  return (
    <div class="stack">
      <ul class="stack">
        {Object.entries(tags).map(([existing, digest]) => (
          <li key={existing} class="spread">
            <span>
              <code>
                {name}@{existing}
              </code>{' '}
              <span class="muted">is {releaseOf(digest) ?? shortDigest(digest)}</span>
            </span>
            {existing !== 'latest' && (
              <button type="button" class="button small" onClick={() => setConfirmed({ removed: existing })}>
                Take away<span class="unseen"> the tag {existing}</span>
              </button>
            )}
          </li>
        ))}
      </ul>
      {error !== null && <ErrorNote error={error} />}
      <form class="row" onSubmit={onSubmit}>
        <TextField label="Tag" value={tag} onInput={setTag} placeholder="stable" isRequired />
        <SelectField
          label="Version"
          value={version}
          onInput={setVersion}
          options={releases.map(({ release }) => ({ value: release, label: release }))}
        />
        <button type="submit" class="button" disabled={isBusy || set === ''}>
          Set the tag
        </button>
      </form>
      {confirmed === 'move' && moved !== null && (
        <ConfirmDialog
          title={`Move ${set} to ${version}?`}
          action={`Move it to ${version}`}
          onConfirm={move}
          onClose={close}
        >
          <p>
            It is {releaseOf(moved) ?? shortDigest(moved)} now. Requests for{' '}
            <code>
              {name}@{set}
            </code>{' '}
            are answered by {version} from then on.
          </p>
        </ConfirmDialog>
      )}
      {confirmed !== null && confirmed !== 'move' && (
        <ConfirmDialog
          title={`Take the tag ${confirmed.removed} away?`}
          action="Take it away"
          onConfirm={() => remove(confirmed.removed)}
          onClose={close}
        >
          <p>
            Requests for{' '}
            <code>
              {name}@{confirmed.removed}
            </code>{' '}
            are answered from then on that there is no such model. The version stays.
          </p>
        </ConfirmDialog>
      )}
    </div>
  );
}
