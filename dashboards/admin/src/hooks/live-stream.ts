import { useEffect, useRef, useState } from 'preact/hooks';
import { ask } from '../api/client.ts';
import { type Connection, listen } from '../api/live-events.ts';

/**
 * Listens to a stream of events while it is shown.
 * @param handlers by the event's name
 * @param onOpen told each time that the stream begins anew: what happened before is not told any more
 */
export function useLiveStream(
  url: string,
  handlers: Readonly<Record<string, (data: unknown) => void>>,
  onOpen = () => {},
): Connection {
  const [connection, setConnection] = useState<Connection>('connecting');
  const latest = useRef({ handlers, onOpen });
  latest.current = { handlers, onOpen };
  const names = Object.keys(handlers).join(' ');
  useEffect(() => {
    const on = Object.fromEntries(
      names.split(' ').map((name) => [name, (data: unknown) => latest.current.handlers[name]?.(data)]),
    );
    const onConnection = (now: Connection) => {
      setConnection(now);
      if (now === 'open') latest.current.onOpen();
      // A stream does not say why it failed: a session that is over shows here.
      if (now === 'lost') ask('GET', '/admin/session').catch(() => {});
    };
    return listen(url, { on, onConnection });
  }, [url, names]);
  return connection;
}
