import { useEffect, useState } from 'preact/hooks';

/** A value as it was when it last rested: while somebody types, it stays what it was. @param milliseconds how long it has to rest */
export function useSettled(value: string, milliseconds: number): string {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value, milliseconds]);
  return settled;
}
