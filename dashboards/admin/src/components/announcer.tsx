/** Says what has happened, to be seen and to be heard. */
import type { ComponentChildren } from 'preact';
import { createContext } from 'preact';
import { useCallback, useContext, useEffect, useState } from 'preact/hooks';

const SHOWN_MS = 6_000;
const Context = createContext<(message: string) => void>(() => {});

export function Announcer({ children }: { readonly children: ComponentChildren }) {
  const [message, setMessage] = useState({ text: '', turn: 0 });
  const announce = useCallback((text: string) => setMessage((old) => ({ text, turn: old.turn + 1 })), []);
  useEffect(() => {
    if (message.text === '') return;
    const timer = setTimeout(() => setMessage((old) => ({ ...old, text: '' })), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [message]);
  return (
    <Context.Provider value={announce}>
      {children}
      <div class="toasts" role="status" aria-live="polite">
        {message.text !== '' && (
          <p key={message.turn} class="toast">
            {message.text}
          </p>
        )}
      </div>
    </Context.Provider>
  );
}

/** Tells a change that the eye might miss: 'The key is revoked.' */
export function useAnnounce(): (message: string) => void {
  return useContext(Context);
}
