import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Dialog } from '../../components/dialog.tsx';
import { TextField } from '../../components/fields.tsx';
import { ErrorNote } from '../../components/states.tsx';
import { useAction } from '../../hooks/action.ts';

interface SignInProps {
  readonly signIn: (key: string) => Promise<void>;
}

/** All that is there for who is not signed in. */
export function SignIn({ signIn }: SignInProps) {
  useEffect(() => {
    document.title = 'Sign in · Polylora';
  }, []);
  return (
    <main class="lonely">
      <div class="panel sign-in">
        <h1>
          <span class="brand-mark" aria-hidden="true" />
          Polylora
        </h1>
        <SignInForm signIn={signIn} />
      </div>
    </main>
  );
}

interface SignInAgainProps extends SignInProps {
  readonly signOut: () => Promise<void>;
}

/** Over the page of a session that has ended, with what was filled in there. */
export function SignInAgain({ signIn, signOut }: SignInAgainProps) {
  return (
    <Dialog title="Your session has ended" onClose={() => void signOut()} isDismissible={false}>
      <div class="stack">
        <p>
          It was twelve hours old, its key was changed or revoked, or another tab has signed out. Sign in
          again to go on where you were.
        </p>
        <SignInForm signIn={signIn}>
          <button type="button" class="button" onClick={() => void signOut()}>
            Leave the page
          </button>
        </SignInForm>
      </div>
    </Dialog>
  );
}

interface SignInFormProps extends SignInProps {
  /** What else can be done. */
  readonly children?: ComponentChildren;
}

function SignInForm({ signIn, children }: SignInFormProps) {
  const [key, setKey] = useState('');
  const { isBusy, error, run } = useAction();
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    // There is nothing else to do here.
    form.current?.querySelector('input')?.focus();
  }, []);
  const onSubmit = (event: Event) => {
    event.preventDefault();
    void run(() => signIn(key.trim()));
  };
  return (
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
      <div class="actions">
        <button type="submit" class="button primary" disabled={isBusy || key.trim() === ''}>
          {isBusy ? 'Signing in …' : 'Sign in'}
        </button>
        {children}
      </div>
    </form>
  );
}
