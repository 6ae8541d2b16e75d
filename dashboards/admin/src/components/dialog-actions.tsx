import type { ComponentChildren } from 'preact';

interface DialogActionsProps {
  /** What the form's button says: 'Create the key'. */
  readonly action: string;
  /** What it says while that is done. */
  readonly busyAction: string;
  readonly isBusy: boolean;
  /** Something is missing yet. */
  readonly isIncomplete?: boolean;
  /** What it does cannot be taken back easily. */
  readonly isDangerous?: boolean;
  readonly onClose: () => void;
  /** What else can be done, at the other end of the line. */
  readonly children?: ComponentChildren;
}

/** The buttons that end a dialog's form. */
export function DialogActions(props: DialogActionsProps) {
  const { action, busyAction, isBusy, isIncomplete = false, isDangerous = false, onClose, children } = props;
  return (
    <div class="spread">
      {children ?? <span />}
      <div class="actions">
        <button type="button" class="button" onClick={onClose}>
          Cancel
        </button>
        <button
          type="submit"
          class={isDangerous ? 'button danger' : 'button primary'}
          disabled={isBusy || isIncomplete}
        >
          {isBusy ? busyAction : action}
        </button>
      </div>
    </div>
  );
}
