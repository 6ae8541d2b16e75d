import { useEffect, useRef, useState } from 'preact/hooks';
import { type ApiError, withQuery } from '../../api/client.ts';
import type { Release } from '../../api/types.ts';
import { type UploadProgress, uploadAdapter } from '../../api/upload.ts';
import { useAnnounce } from '../../components/announcer.tsx';
import { SelectField, TextField } from '../../components/fields.tsx';
import { Panel } from '../../components/page.tsx';
import { ErrorNote } from '../../components/states.tsx';
import { bytes, shortDigest } from '../../format/numbers.ts';
import { useLeaveWarning } from '../../hooks/leave-warning.ts';
import { asApiError } from '../../hooks/resource.ts';
import { Link } from '../../router/location.tsx';
import { to } from '../../router/router.ts';
import { aboutConfig, type Chosen, chooseFiles } from './adapter-files.ts';
import { DropZone } from './drop-zone.tsx';
import { UploadState } from './upload-state.tsx';
import './adapters.css';

interface UploadPanelProps {
  /** For whom an operator acts; null: for itself. */
  readonly tenant: string | null;
  /** Whose names begin with it; null: any name. */
  readonly owner: string | null;
  readonly onDone: () => void;
  /** The name that it is another version of; null: asked for. */
  readonly name?: string;
  /** Its versions, the newest first. */
  readonly releases?: readonly Release[];
}

const NOTHING: Chosen<File> = { config: null, weights: null, problem: null };
/** It was made from the base model. */
const BASE = '';

export function UploadPanel({ tenant, owner, onDone, name: fixedName, releases = [] }: UploadPanelProps) {
  const announce = useAnnounce();
  const [chosen, setChosen] = useState(NOTHING);
  const [config, setConfig] = useState('');
  const [name, setName] = useState(fixedName ?? (owner === null ? '' : `${owner}/`));
  const [tags, setTags] = useState('');
  const [note, setNote] = useState('');
  /** The digest of what it was made from; null: nothing was chosen, and it is the latest version. */
  const [chosenParent, setChosenParent] = useState<string | null>(null);
  const parent = chosenParent ?? releases[0]?.digest ?? BASE;
  const [progress, setProgress] = useState<UploadProgress | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [release, setRelease] = useState<Release | null>(null);
  const controller = useRef<AbortController | null>(null);
  useEffect(() => () => controller.current?.abort(), []);
  useLeaveWarning(progress !== null);

  const choose = async (files: readonly File[]) => {
    const next = chooseFiles(chosen, files);
    setChosen(next);
    setRelease(null);
    setError(null);
    if (next.config !== null) setConfig(await next.config.text());
  };
  const send = async (weights: Blob) => {
    const abort = new AbortController();
    controller.current = abort;
    setError(null);
    try {
      const files = {
        name: name.trim(),
        config,
        weights,
        tags: tags
          .split(',')
          .map((tag) => tag.trim())
          .filter((tag) => tag !== ''),
        note: note.trim() === '' ? null : note.trim(),
        parent: parent === BASE ? null : parent,
      };
      const made = await uploadAdapter(files, { tenant, onProgress: setProgress, signal: abort.signal });
      setRelease(made);
      setChosen(NOTHING);
      setConfig('');
      setChosenParent(null);
      announce(`${made.name} is there as ${made.release}.`);
      onDone();
    } catch (thrown) {
      if (abort.signal.aborted) announce('The upload is stopped, and what was sent of it is thrown away.');
      else setError(asApiError(thrown));
    } finally {
      setProgress(null);
    }
  };
  const onSubmit = (event: Event) => {
    event.preventDefault();
    if (chosen.weights !== null && chosen.config !== null) void send(chosen.weights);
  };
  const about = chosen.config === null ? null : aboutConfig(config);
  const isReady = chosen.config !== null && chosen.weights !== null && about !== null && name.trim() !== '';
  return (
    <Panel title={fixedName === undefined ? 'Upload an adapter' : `Upload another version of ${fixedName}`}>
      <form class="stack" onSubmit={onSubmit}>
        <DropZone onFiles={(files) => void choose(files)} isDisabled={progress !== null} />
        {chosen.problem !== null && (
          <p class="note warn" role="alert">
            {chosen.problem}
          </p>
        )}
        <dl class="facts">
          <dt>Configuration</dt>
          <dd>
            {chosen.config === null ? (
              <span class="muted">adapter_config.json is missing</span>
            ) : about === null ? (
              <span class="bad-text">{chosen.config.name} is not JSON.</span>
            ) : (
              about
            )}
          </dd>
          <dt>Weights</dt>
          <dd>
            {chosen.weights === null ? (
              <span class="muted">the .safetensors file is missing</span>
            ) : (
              `${chosen.weights.name}, ${bytes(chosen.weights.size)}`
            )}
          </dd>
        </dl>
        <div class="row">
          {fixedName === undefined && (
            <TextField
              label="Name"
              value={name}
              onInput={setName}
              isRequired
              isMono
              hint={owner === null ? 'Such as support, or acme/support' : `It begins with ${owner}/`}
            />
          )}
          <TextField
            label="Tags"
            value={tags}
            onInput={setTags}
            hint="With commas, such as stable, 2026-11"
          />
          <TextField label="Note" value={note} onInput={setNote} hint="What it is, or how it was made" />
          {releases.length > 0 && (
            <SelectField
              label="Made from"
              value={parent}
              onInput={setChosenParent}
              options={[
                ...newestOfEach(releases).map(({ release, digest }) => ({
                  value: digest,
                  label: `${release} (${shortDigest(digest)})`,
                })),
                { value: BASE, label: 'The base model' },
              ]}
              hint="The version that its training began with, for the lineage"
            />
          )}
        </div>
        {progress !== null && <UploadState progress={progress} onStop={() => controller.current?.abort()} />}
        {error !== null && <ErrorNote error={error} />}
        {release !== null && (
          <p class="note" role="status">
            <span>
              <Link href={withQuery(to('adapters', release.name), { tenant })}>{release.name}</Link> is there
              as {release.release}: {release.kind}, {bytes(release.bytes)}.{' '}
              {tenant === null ? (
                <>
                  Try it in the{' '}
                  <Link href={`/playground?adapter=${encodeURIComponent(release.name)}`}>playground</Link>.
                </>
              ) : (
                `It is ${tenant}’s alone until it is shared: an administrator of ${tenant} can try it in the playground.`
              )}
            </span>
          </p>
        )}
        <div class="actions">
          <button type="submit" class="button primary" disabled={!isReady || progress !== null}>
            Upload
          </button>
        </div>
      </form>
    </Panel>
  );
}

/** A content can be a release several times. */
function newestOfEach(releases: readonly Release[]): readonly Release[] {
  return releases.filter(
    ({ digest }, index) => releases.findIndex((each) => each.digest === digest) === index,
  );
}
