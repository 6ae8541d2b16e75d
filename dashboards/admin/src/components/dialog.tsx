import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';

interface DialogProps {
  readonly title: string;
  readonly onClose: () => void;
  /** False where leaving loses something that is shown once: it is closed by a button only. */
  readonly isDismissible?: boolean;
  readonly isWide?: boolean;
  readonly children: ComponentChildren;
}

/** A modal dialog while it is rendered: the browser keeps the focus inside and gives it back. */
export function Dialog({ title, onClose, isDismissible = true, isWide = false, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const { current } = dialog;
    current?.showModal();
    return () => current?.close();
  }, []);
  const onCancel = (event: Event) => {
    event.preventDefault();
    if (isDismissible) onClose();
  };
  // A browser lets a page refuse to be closed once: a second Escape closes the dialog without asking.
  const onBrowserClose = () => {
    // Not where it is closed because it is rendered no longer.
    if (dialog.current === null) return;
    if (isDismissible) onClose();
    else dialog.current.showModal();
  };
  return (
    <dialog
      ref={dialog}
      class={isWide ? 'wide' : ''}
      aria-labelledby={id}
      onCancel={onCancel}
      onClose={onBrowserClose}
    >
      <div class="dialog-head">
        <h2 id={id}>{title}</h2>
        {isDismissible && (
          <button type="button" class="button quiet icon" aria-label="Close" onClick={onClose}>
            ✕
          </button>
        )}
      </div>
      {children}
    </dialog>
  );
}
