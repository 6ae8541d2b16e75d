import { useState } from 'preact/hooks';
import type { ApiError } from '../api/client.ts';
import { asApiError } from './resource.ts';

export interface Action {
  readonly isBusy: boolean;
  readonly error: ApiError | null;
  /** Does it unless it is being done; resolves to whether it went well. */
  readonly run: (act: () => Promise<void>) => Promise<boolean>;
  readonly clear: () => void;
}

/** Something that a button does: busy meanwhile, and with what went wrong. */
export function useAction(): Action {
  const [isBusy, setIsBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  const run = async (act: () => Promise<void>) => {
    if (isBusy) return false;
    setIsBusy(true);
    setError(null);
    try {
      await act();
      return true;
    } catch (thrown) {
      setError(asApiError(thrown));
      return false;
    } finally {
      setIsBusy(false);
    }
  };
  return { isBusy, error, run, clear: () => setError(null) };
}
