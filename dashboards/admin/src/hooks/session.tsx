/** Who is signed in. The session itself is a cookie that no script can read; this is what the server says of it. */
import type { ComponentChildren } from 'preact';
import { createContext } from 'preact';
import { useCallback, useContext, useEffect, useMemo, useState } from 'preact/hooks';
import { ApiError, ask, holdSession } from '../api/client.ts';
import type { Session } from '../api/types.ts';

const SESSION = '/admin/session';

export type SessionState =
  | { readonly state: 'loading' }
  | { readonly state: 'failed'; readonly error: ApiError; readonly retry: () => void }
  | { readonly state: 'none'; readonly signIn: (key: string) => Promise<void> }
  | {
      readonly state: 'signed-in';
      readonly session: Session;
      /** The server knows the session no longer: what is on the page stays until somebody signs in again, or leaves. */
      readonly hasEnded: boolean;
      readonly signIn: (key: string) => Promise<void>;
      readonly signOut: () => Promise<void>;
    };

const Context = createContext<SessionState>({ state: 'loading' });

type Known = Session | ApiError | 'none' | null;

export function SessionProvider({ children }: { readonly children: ComponentChildren }) {
  const [known, setKnown] = useState<Known>(null);
  const [hasEnded, setHasEnded] = useState(false);
  const keep = useCallback((session: Session | 'none') => {
    holdSession(session === 'none' ? null : session.csrf, () => {
      holdSession(null, () => {});
      setHasEnded(true);
    });
    setHasEnded(false);
    setKnown(session);
  }, []);
  const look = useCallback(() => {
    setKnown(null);
    ask<Session>('GET', SESSION).then(keep, (error: unknown) => {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) keep('none');
      else setKnown(error);
    });
  }, [keep]);
  useEffect(look, [look]);
  const signIn = useCallback(
    async (key: string) => keep(await ask<Session>('POST', SESSION, { body: { key } })),
    [keep],
  );
  const signOut = useCallback(async () => {
    if (!hasEnded) await ask('DELETE', SESSION);
    keep('none');
  }, [keep, hasEnded]);
  const state = useMemo<SessionState>(() => {
    if (known === null) return { state: 'loading' };
    if (known instanceof ApiError) return { state: 'failed', error: known, retry: look };
    if (known === 'none') return { state: 'none', signIn };
    return { state: 'signed-in', session: known, hasEnded, signIn, signOut };
  }, [known, hasEnded, look, signIn, signOut]);
  return <Context.Provider value={state}>{children}</Context.Provider>;
}

export function useSessionState(): SessionState {
  return useContext(Context);
}

/** For what is only there when somebody is signed in. */
export function useSession(): Session {
  const state = useContext(Context);
  if (state.state !== 'signed-in') throw new Error('Nobody is signed in.');
  return state.session;
}

/** Whether the session is an operator's, who sees all tenants. */
export function useIsOperator(): boolean {
  return useSession().role === 'operator';
}
