import { useState } from 'preact/hooks';
import { ask, pathOf, withQuery } from '../../api/client.ts';
import type { Adapter } from '../../api/types.ts';
import { useAnnounce } from '../../components/announcer.tsx';
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
  const releaseOf = (digest: string) => releases.find((release) => release.digest === digest)?.release;
  const move = async (event: Event) => {
    event.preventDefault();
    const isDone = await run(async () => {
      await ask('PUT', withQuery(pathOf(`${path}/tags`, tag.trim()), { tenant }), { body: { version } });
      announce(`${tag.trim()} is ${version} now.`);
      reload();
    });
    if (isDone) setTag('');
  };
  const remove = (removed: string) =>
    run(async () => {
      await ask('DELETE', withQuery(pathOf(`${path}/tags`, removed), { tenant }));
      announce(`The tag ${removed} is taken away.`);
      reload();
    });
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
              <button
                type="button"
                class="button small"
                disabled={isBusy}
                onClick={() => void remove(existing)}
              >
                Take away<span class="unseen"> the tag {existing}</span>
              </button>
            )}
          </li>
        ))}
      </ul>
      {error !== null && <ErrorNote error={error} />}
      <form class="row" onSubmit={(event) => void move(event)}>
        <TextField label="Tag" value={tag} onInput={setTag} placeholder="stable" isRequired />
        <SelectField
          label="Version"
          value={version}
          onInput={setVersion}
          options={releases.map(({ release }) => ({ value: release, label: release }))}
        />
        <button type="submit" class="button" disabled={isBusy || tag.trim() === ''}>
          Set the tag
        </button>
      </form>
    </div>
  );
}
