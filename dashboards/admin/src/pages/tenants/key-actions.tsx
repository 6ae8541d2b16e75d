import { useState } from 'preact/hooks';
import { ask } from '../../api/client.ts';
import type { ApiKey } from '../../api/types.ts';
import { useAnnounce } from '../../components/announcer.tsx';
import { ConfirmDialog } from '../../components/confirm-dialog.tsx';
import { SelectField } from '../../components/fields.tsx';
import { KeyDialog } from './key-dialog.tsx';

interface KeyActionsProps {
  readonly apiKey: ApiKey;
  readonly reload: () => void;
  /** Is given the key with its new text. */
  readonly onRotated: (key: ApiKey) => void;
}

const OVERLAPS = [
  { value: '0', label: 'ends at once' },
  { value: '3600', label: 'holds an hour longer' },
  { value: '86400', label: 'holds a day longer' },
  { value: '604800', label: 'holds a week longer' },
] as const;

/** What can be done with a key: another text, refused for a while, or for good. */
export function KeyActions({ apiKey, reload, onRotated }: KeyActionsProps) {
  const { id, alias, blocked } = apiKey;
  const name = alias ?? id;
  const path = `/admin/v1/keys/${id}`;
  const announce = useAnnounce();
  const [open, setOpen] = useState<'change' | 'rotate' | 'block' | 'revoke' | null>(null);
  const [overlap, setOverlap] = useState<string>('86400');
  const close = () => setOpen(null);
  const setBlocked = async () => {
    await ask('POST', `${path}/${blocked ? 'unblock' : 'block'}`);
    announce(blocked ? `${name} may be used again.` : `${name} is blocked.`);
    reload();
  };
  const changed = () => {
    close();
    announce(`${name} is changed.`);
    reload();
  };
  const rotate = async () => {
    onRotated(await ask<ApiKey>('POST', `${path}/rotate`, { body: { overlap_seconds: Number(overlap) } }));
  };
  const revoke = async () => {
    await ask('DELETE', path);
    announce(`${name} is revoked.`);
    reload();
  };
  const button = (action: 'change' | 'rotate' | 'block' | 'revoke', text: string) => (
    <button
      type="button"
      class={action === 'revoke' ? 'button small danger' : 'button small'}
      onClick={() => setOpen(action)}
    >
      {text}
      <span class="unseen"> {name}</span>
    </button>
  );
  return (
    <div class="key-actions">
      {button('change', 'Change')}
      {button('rotate', 'Rotate')}
      {button('block', blocked ? 'Unblock' : 'Block')}
      {button('revoke', 'Revoke')}
      {open === 'change' && (
        <KeyDialog apiKey={apiKey} tenant={apiKey.tenant} onClose={close} onDone={changed} />
      )}
      {open === 'rotate' && (
        <ConfirmDialog
          title={`Rotate ${name}?`}
          action="Make another text"
          onConfirm={rotate}
          onClose={close}
        >
          <div class="stack">
            <p>The key stays as it is and is given another text, which is shown once.</p>
            <SelectField label="The text until now" value={overlap} onInput={setOverlap} options={OVERLAPS} />
          </div>
        </ConfirmDialog>
      )}
      {open === 'block' && (
        <ConfirmDialog
          title={blocked ? `Unblock ${name}?` : `Block ${name}?`}
          action={blocked ? 'Unblock it' : 'Block it'}
          onConfirm={setBlocked}
          onClose={close}
        >
          <p>
            {blocked
              ? 'Requests with it are answered again within a second.'
              : 'Requests with it are refused within a second, until it is unblocked.'}
          </p>
        </ConfirmDialog>
      )}
      {open === 'revoke' && (
        <ConfirmDialog
          title={`Revoke ${name}?`}
          action="Revoke the key"
          typed={name}
          onConfirm={revoke}
          onClose={close}
        >
          <p>It is removed, and requests with it are refused within a second. This cannot be undone.</p>
        </ConfirmDialog>
      )}
    </div>
  );
}
