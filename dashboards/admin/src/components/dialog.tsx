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
  return (
    <dialog ref={dialog} class={isWide ? 'wide' : ''} aria-labelledby={id} onCancel={onCancel}>
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
