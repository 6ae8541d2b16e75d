import { useState } from 'preact/hooks';
import type { Category, CategoryStatus } from '../../api/cache-types.ts';
import { ask, pathOf } from '../../api/client.ts';
import { useAnnounce } from '../../components/announcer.tsx';
import { ConfirmDialog } from '../../components/confirm-dialog.tsx';
import { Dialog } from '../../components/dialog.tsx';
import { DialogActions } from '../../components/dialog-actions.tsx';
import { Checkbox, Slider, TextField } from '../../components/fields.tsx';
import { ErrorNote } from '../../components/states.tsx';
import { useAction } from '../../hooks/action.ts';
import { categoryBody } from './category-values.ts';
import { PreviewNote } from './preview-note.tsx';

interface CategoryDialogProps {
  /** As it is configured. */
  readonly category: Category;
  /** As it is now, after load and checks. */
  readonly now: CategoryStatus | null;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

/** What a category's values are, and what others would have answered, before they are saved. */
export function CategoryDialog({ category, now, onClose, onDone }: CategoryDialogProps) {
  const { name } = category;
  const path = pathOf('/admin/v1/cache/categories', name);
  const announce = useAnnounce();
  const [isEnabled, setIsEnabled] = useState(category.enabled);
  const [threshold, setThreshold] = useState(category.similarity_threshold);
  const [verifyFrom, setVerifyFrom] = useState(category.verify_from);
  const [strictness, setStrictness] = useState(category.strictness);
  const [ttl, setTtl] = useState(`${category.ttl_seconds}`);
  const [isReverting, setIsReverting] = useState(false);
  const { isBusy, error, run } = useAction();
  const end = (message: string) => {
    announce(message);
    onDone();
    onClose();
  };
  const values = { similarity_threshold: threshold, verify_from: verifyFrom, strictness };
  const onSubmit = (event: Event) => {
    event.preventDefault();
    const body = categoryBody(category, { enabled: isEnabled, ...values, ttl_seconds: Number(ttl) });
    void run(async () => {
      await ask('PUT', path, { body });
      end(`${name} is changed, at every server of the database.`);
    });
  };
  const revert = async () => {
    await ask('DELETE', path);
    end(`What was set of ${name} here is taken back.`);
  };
  return (
    <Dialog title={`Category ${name}`} onClose={onClose} isWide>
      <form class="stack" onSubmit={onSubmit}>
        <Checkbox
          label="Answers are kept and found"
          isChecked={isEnabled}
          onChange={setIsEnabled}
          hint="Switched off, what was kept of it is removed."
        />
        <Slider
          label="Similarity"
          value={threshold}
          onInput={setThreshold}
          min={0.5}
          step={0.005}
          show={threePlaces}
          hint={`Where nothing verifies, questions this near count as the same.${nowText(now?.similarity_threshold, category.similarity_threshold)}`}
        />
        <Slider
          label="Verified from"
          value={verifyFrom}
          onInput={setVerifyFrom}
          min={0.5}
          step={0.005}
          show={threePlaces}
          hint="Questions this near are looked at word by word."
        />
        <Slider
          label="Strictness"
          value={strictness}
          onInput={setStrictness}
          show={(value) => value.toFixed(2)}
          hint={`How sure the verifier has to be that both ask for the same.${nowText(now?.strictness, category.strictness)}`}
        />
        <TextField
          label="Kept for, in seconds"
          type="number"
          min={0}
          value={ttl}
          onInput={setTtl}
          isRequired
        />
        <PreviewNote path={path} values={values} />
        {error !== null && <ErrorNote error={error} />}
        <DialogActions action="Save" busyAction="Saving …" isBusy={isBusy} onClose={onClose}>
          {category.source === 'api' ? (
            <button type="button" class="button" onClick={() => setIsReverting(true)}>
              Take back …
            </button>
          ) : null}
        </DialogActions>
      </form>
      {isReverting && (
        <ConfirmDialog
          title={`Take back what was set of ${name}?`}
          action="Take it back"
          onConfirm={revert}
          onClose={() => setIsReverting(false)}
        >
          <p>
            What the configuration says of it counts again. A category that was made here is removed, with its
            examples.
          </p>
        </ConfirmDialog>
      )}
    </Dialog>
  );
}

function threePlaces(value: number): string {
  return value.toFixed(3);
}

/** Said where load or checks have moved it. */
function nowText(now: number | undefined, configured: number): string {
  if (now === undefined || Math.abs(now - configured) < 0.0005) return '';
  return ` It is ${now.toFixed(3)} now: load or checks have moved it.`;
}
