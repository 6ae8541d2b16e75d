import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { useAction } from '../hooks/action.ts';
import { Dialog } from './dialog.tsx';
import { DialogActions } from './dialog-actions.tsx';
import { TextField } from './fields.tsx';
import { ErrorNote } from './states.tsx';

interface ConfirmDialogProps {
  readonly title: string;
  /** What is going to happen, and what cannot be undone. */
  readonly children: ComponentChildren;
  /** What the button says: 'Delete the adapter'. */
  readonly action: string;
  /** Has to be typed, where it cannot be undone. */
  readonly typed?: string;
  readonly onConfirm: () => Promise<void>;
  readonly onClose: () => void;
}

/** Asks before something is destroyed. */
export function ConfirmDialog(props: ConfirmDialogProps) {
  const { title, children, action, typed, onConfirm, onClose } = props;
  const [text, setText] = useState('');
  const { isBusy, error, run } = useAction();
  const onSubmit = async (event: Event) => {
    event.preventDefault();
    if (await run(onConfirm)) onClose();
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={(event) => void onSubmit(event)} class="stack">
        <div>{children}</div>
        {typed !== undefined && (
          <TextField
            label={`Type “${typed}” to go on`}
            value={text}
            onInput={setText}
            autoComplete="off"
            isMono
          />
        )}
        {error !== null && <ErrorNote error={error} />}
        <DialogActions
          action={action}
          busyAction="Working …"
          isIncomplete={typed !== undefined && text !== typed}
          isDangerous
          isBusy={isBusy}
          onClose={onClose}
        />
      </form>
    </Dialog>
  );
}
