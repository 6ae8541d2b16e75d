import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { ApiError } from '../api/client.ts';

export interface Resource<T> {
  /** What came last; it stays while it is asked for again, and after that failed. */
  readonly data: T | null;
  readonly error: ApiError | null;
  readonly isLoading: boolean;
  readonly reload: () => void;
}

interface Options {
  /** Milliseconds after which it is asked for again, while the page is seen. */
  readonly every?: number;
  /** Whether what came for another key is shown until this one's comes. */
  readonly keepsOld?: boolean;
}

/**
 * Asks for something when it is shown, and again when `key` changes: then what was there before is gone.
 * @param key names what is asked for; null asks for nothing
 */
export function useResource<T>(
  key: string | null,
  load: (signal: AbortSignal) => Promise<T>,
  { every, keepsOld = false }: Options = {},
): Resource<T> {
  const [found, setFound] = useState<Omit<Resource<T>, 'reload'> & { readonly key: string | null }>({
    key,
    data: null,
    error: null,
    isLoading: true,
  });
  const [turn, setTurn] = useState(0);
  const latest = useRef(load);
  latest.current = load;

  useEffect(() => {
    if (key === null) return;
    const controller = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const run = async () => {
      // What was wrong stays until it is known whether it still is.
      setFound((old) => ({
        key,
        data: keepsOld || old.key === key ? old.data : null,
        error: old.key === key ? old.error : null,
        isLoading: true,
      }));
      try {
        const data = await latest.current(controller.signal);
        if (!controller.signal.aborted) setFound({ key, data, error: null, isLoading: false });
      } catch (error) {
        if (controller.signal.aborted) return;
        setFound((old) => ({ ...old, key, error: asApiError(error), isLoading: false }));
      }
      if (every !== undefined && !controller.signal.aborted) timer = setTimeout(next, every);
    };
    const next = () => {
      if (document.hidden) timer = setTimeout(next, every);
      else void run();
    };
    void run();
    return () => {
      controller.abort();
      clearTimeout(timer);
    };
  }, [key, turn, every, keepsOld]);

  const reload = useCallback(() => setTurn((old) => old + 1), []);
  const isOfKey = found.key === key;
  return {
    data: isOfKey || keepsOld ? found.data : null,
    error: isOfKey ? found.error : null,
    isLoading: key !== null && (!isOfKey || found.isLoading),
    reload,
  };
}

/** What is thrown as the API's error; else it is a mistake of ours, shown as such. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError(error instanceof Error ? error.message : String(error), { code: 'dashboard' });
}
