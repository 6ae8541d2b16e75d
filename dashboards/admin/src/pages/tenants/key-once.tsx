import type { ApiKey } from '../../api/types.ts';
import { CopyButton } from '../../components/copy-button.tsx';
import { Dialog } from '../../components/dialog.tsx';

interface KeyOnceProps {
  /** With its text. */
  readonly made: ApiKey;
  readonly onClose: () => void;
}

/** A key's text, this once: closing it is a decision, so nothing else closes it. */
export function KeyOnce({ made, onClose }: KeyOnceProps) {
  const text = made.key ?? '';
  return (
    <Dialog title="The key, shown this once" onClose={onClose} isDismissible={false}>
      <div class="stack">
        <p>
          Copy it now and store it like a password: the server keeps only a hash, so nobody can show it again.
          A lost key is rotated.
        </p>
        <div class="secret">
          <code>{text}</code>
          <CopyButton text={text} what="the key" />
        </div>
        <p class="small muted">
          It is of the tenant {made.tenant}, and its id is <code>{made.id}</code>.
        </p>
        <div class="actions end">
          <button type="button" class="button primary" onClick={onClose}>
            I have stored it
          </button>
        </div>
      </div>
    </Dialog>
  );
}
