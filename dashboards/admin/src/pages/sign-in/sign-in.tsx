import { useEffect, useRef, useState } from 'preact/hooks';
import { TextField } from '../../components/fields.tsx';
import { ErrorNote } from '../../components/states.tsx';
import { useAction } from '../../hooks/action.ts';

interface SignInProps {
  /** Whether somebody was signed in until now. */
  readonly hasEnded: boolean;
  readonly signIn: (key: string) => Promise<void>;
}

export function SignIn({ hasEnded, signIn }: SignInProps) {
  const [key, setKey] = useState('');
  const { isBusy, error, run } = useAction();
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    document.title = 'Sign in · Polylora';
    // There is nothing else to do here.
    form.current?.querySelector('input')?.focus();
  }, []);
  const onSubmit = (event: Event) => {
    event.preventDefault();
    void run(() => signIn(key.trim()));
  };
  return (
    <main class="lonely">
      <div class="panel sign-in">
        <h1>
          <span class="brand-mark" aria-hidden="true" />
          Polylora
        </h1>
        {hasEnded && (
          <p class="note" role="status">
            Your session has ended: it was twelve hours old, or its key was changed or revoked. Sign in again
            to go on where you were.
          </p>
        )}
        <form ref={form} class="stack" onSubmit={onSubmit}>
          <TextField
            label="Operator or administrator key"
            type="password"
            value={key}
            onInput={setKey}
            autoComplete="current-password"
            isRequired
            isMono
            hint="The first start of the server prints an operator key once. A tenant’s administrator is given one by an operator."
          />
          {error !== null && <ErrorNote error={error} />}
          <button type="submit" class="button primary" disabled={isBusy || key.trim() === ''}>
            {isBusy ? 'Signing in …' : 'Sign in'}
          </button>
        </form>
      </div>
    </main>
  );
}
