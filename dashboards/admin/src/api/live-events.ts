/** Streams of events that stay: opened again after whatever ended them. */

export type Connection = 'connecting' | 'open' | 'lost';

export interface LiveOptions {
  /** By the event's name; data is JSON. */
  readonly on: Readonly<Record<string, (data: unknown) => void>>;
  readonly onConnection: (connection: Connection) => void;
  /** The browser's, but for tests. */
  readonly open?: (url: string) => EventSource;
  /** Milliseconds before the first new try; each further one waits twice as long, up to half a minute. */
  readonly firstDelay?: number;
}

const MOST_DELAY = 30_000;
const CLOSED = 2;

/**
 * Listens until it is told to stop. The browser reconnects by itself where a connection breaks; where the server
 * answers with an error (it restarts, it is full) the browser gives up, and this does not.
 * @returns stops it
 */
export function listen(url: string, options: LiveOptions): () => void {
  const { on, onConnection, open = (at) => new EventSource(at), firstDelay = 1_000 } = options;
  let source: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let delay = firstDelay;
  let isStopped = false;

  const connect = () => {
    const opened = open(url);
    source = opened;
    opened.onopen = () => {
      delay = firstDelay;
      onConnection('open');
    };
    opened.onerror = () => {
      if (isStopped) return;
      onConnection('lost');
      if (opened.readyState !== CLOSED) return;
      opened.close();
      timer = setTimeout(connect, delay);
      delay = Math.min(delay * 2, MOST_DELAY);
    };
    for (const [event, handle] of Object.entries(on)) {
      opened.addEventListener(event, ({ data }: MessageEvent<string>) => {
        if (!isStopped) handle(JSON.parse(data));
      });
    }
  };
  onConnection('connecting');
  connect();
  return () => {
    isStopped = true;
    clearTimeout(timer);
    source?.close();
  };
}
