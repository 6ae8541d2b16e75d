/** Streams of events that stay: opened again after whatever ended them, and closed while nobody looks. */

export type Connection = 'connecting' | 'open' | 'lost';

export interface LiveOptions {
  /** By the event's name; data is JSON. */
  readonly on: Readonly<Record<string, (data: unknown) => void>>;
  readonly onConnection: (connection: Connection) => void;
  /** The browser's, but for tests. */
  readonly open?: (url: string) => EventSource;
  /** Whether somebody looks: the browser's document, but for tests. */
  readonly page?: Pick<Document, 'hidden' | 'addEventListener' | 'removeEventListener'>;
  /** Milliseconds before the first new try; each further one waits twice as long, up to half a minute. */
  readonly firstDelay?: number;
  /** Milliseconds without an event after which a stream is dead, whatever the connection says. */
  readonly mostSilence?: number;
}

/** What the server sends each second in which it has nothing else to say. */
const ALIVE = 'alive';
const MOST_DELAY = 30_000;
const MOST_SILENCE = 5_000;

/**
 * Listens until it is told to stop. A stream that breaks, that the server refuses (it restarts, it is full) or in which nothing comes any
 * more (a machine that is gone says no goodbye) is opened again. Where the tab is not seen there is none: browsers have but six connections to a
 * host by HTTP/1.1, for all their tabs together.
 * @returns stops it
 */
export function listen(url: string, options: LiveOptions): () => void {
  const { on, onConnection, firstDelay = 1_000, mostSilence = MOST_SILENCE } = options;
  const { open = (at) => new EventSource(at), page = document } = options;
  const handlers = Object.entries<(data: unknown) => void>({ [ALIVE]: () => {}, ...on });
  let source: EventSource | null = null;
  /** Of the next try, or of the end of patience with this one. */
  let timer: ReturnType<typeof setTimeout> | undefined;
  let delay = firstDelay;

  const close = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };
  const lose = () => {
    close();
    onConnection('lost');
    timer = setTimeout(connect, delay);
    delay = Math.min(delay * 2, MOST_DELAY);
  };
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(lose, mostSilence);
  };
  const connect = () => {
    const opened = open(url);
    source = opened;
    wait();
    opened.onopen = () => {
      if (source !== opened) return;
      delay = firstDelay;
      wait();
      onConnection('open');
    };
    opened.onerror = () => {
      if (source === opened) lose();
    };
    for (const [event, handle] of handlers) {
      opened.addEventListener(event, ({ data }: MessageEvent<string>) => {
        if (source !== opened) return;
        wait();
        handle(JSON.parse(data));
      });
    }
  };
  const look = () => {
    close();
    delay = firstDelay;
    if (page.hidden) return;
    onConnection('connecting');
    connect();
  };
  page.addEventListener('visibilitychange', look);
  look();
  return () => {
    page.removeEventListener('visibilitychange', look);
    close();
  };
}
