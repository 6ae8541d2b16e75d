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
  | { readonly state: 'none'; readonly hasEnded: boolean; readonly signIn: (key: string) => Promise<void> }
  | { readonly state: 'signed-in'; readonly session: Session; readonly signOut: () => Promise<void> };

const Context = createContext<SessionState>({ state: 'loading' });

type Known = Session | ApiError | 'none' | 'ended' | null;

export function SessionProvider({ children }: { readonly children: ComponentChildren }) {
  const [known, setKnown] = useState<Known>(null);
  const keep = useCallback((session: Session | 'none' | 'ended') => {
    holdSession(typeof session === 'string' ? null : session.csrf, () => {
      holdSession(null, () => {});
      setKnown('ended');
    });
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
    await ask('DELETE', SESSION);
    keep('none');
  }, [keep]);
  const state = useMemo<SessionState>(() => {
    if (known === null) return { state: 'loading' };
    if (known instanceof ApiError) return { state: 'failed', error: known, retry: look };
    if (typeof known === 'string') return { state: 'none', hasEnded: known === 'ended', signIn };
    return { state: 'signed-in', session: known, signOut };
  }, [known, look, signIn, signOut]);
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
