import { useState } from 'preact/hooks';
import { ask, pathOf } from '../../api/client.ts';
import { useAnnounce } from '../../components/announcer.tsx';
import { Dialog } from '../../components/dialog.tsx';
import { DialogActions } from '../../components/dialog-actions.tsx';
import { Slider, TextArea, TextField } from '../../components/fields.tsx';
import { ErrorNote } from '../../components/states.tsx';
import { useAction } from '../../hooks/action.ts';

interface NewCategoryDialogProps {
  /** Whether the server finds out what a question is of. */
  readonly isRecognizing: boolean;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

const LEAST_EXAMPLES = 10;

/** Makes a category of one's own; what is not said here is as `general` has it. */
export function NewCategoryDialog({ isRecognizing, onClose, onDone }: NewCategoryDialogProps) {
  const announce = useAnnounce();
  const [name, setName] = useState('');
  const [examples, setExamples] = useState('');
  const [ttl, setTtl] = useState('3600');
  const [threshold, setThreshold] = useState(0.88);
  const [verifyFrom, setVerifyFrom] = useState(0.72);
  const [strictness, setStrictness] = useState(0.75);
  const { isBusy, error, run } = useAction();
  const lines = examples
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const isShort = lines.length > 0 && lines.length < LEAST_EXAMPLES;
  const onSubmit = (event: Event) => {
    event.preventDefault();
    const body = {
      similarity_threshold: threshold,
      // Said with the similarity, which counts for both where it is said alone.
      verify_from: verifyFrom,
      strictness,
      ttl_seconds: Number(ttl),
      ...(lines.length === 0 ? {} : { examples: lines }),
    };
    void run(async () => {
      await ask('PUT', pathOf('/admin/v1/cache/categories', name.trim()), { body });
      announce(`The category ${name.trim()} is there.`);
      onDone();
      onClose();
    });
  };
  return (
    <Dialog title="Create a category" onClose={onClose} isWide>
      <form class="stack" onSubmit={onSubmit}>
        <div class="row">
          <TextField
            label="Name"
            value={name}
            onInput={setName}
            isRequired
            isMono
            hint="Small letters, digits and hyphens, such as orders"
          />
          <TextField
            label="Kept for, in seconds"
            type="number"
            min={0}
            value={ttl}
            onInput={setTtl}
            isRequired
          />
        </div>
        <TextArea
          label="Examples"
          value={examples}
          onInput={setExamples}
          rows={8}
          placeholder={'Where is my parcel?\nHas my order been sent?'}
          problem={isShort ? `One a line, ten at least: ${lines.length} so far.` : null}
          hint={
            isRecognizing
              ? 'One question a line, ten at least. Without any it is only where a request names it.'
              : 'This server recognizes no categories: it is only where a request names it.'
          }
        />
        <Slider
          label="Similarity"
          value={threshold}
          onInput={setThreshold}
          min={0.5}
          step={0.005}
          show={(value) => value.toFixed(3)}
        />
        <Slider
          label="Verified from"
          value={verifyFrom}
          onInput={setVerifyFrom}
          min={0.5}
          step={0.005}
          show={(value) => value.toFixed(3)}
          hint="Questions this near are looked at word by word."
        />
        <Slider
          label="Strictness"
          value={strictness}
          onInput={setStrictness}
          show={(value) => value.toFixed(2)}
        />
        {error !== null && <ErrorNote error={error} />}
        <DialogActions
          action="Create the category"
          busyAction="Creating …"
          isIncomplete={isShort || name.trim() === ''}
          isBusy={isBusy}
          onClose={onClose}
        />
      </form>
    </Dialog>
  );
}
