import { useEffect, useRef } from 'preact/hooks';
import { Batches } from '../api/batches.ts';

/** Hands things over together, once for each frame that is drawn, while it is shown. */
export function useBatches<T>(handle: (items: readonly T[]) => void): Batches<T> {
  const latest = useRef(handle);
  latest.current = handle;
  const batches = useRef<Batches<T> | null>(null);
  batches.current ??= new Batches<T>(
    (items) => latest.current(items),
    (draw) => requestAnimationFrame(draw),
  );
  const current = batches.current;
  useEffect(() => () => current.clear(), [current]);
  return current;
}
