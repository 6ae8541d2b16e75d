import { type LookupAddress, lookup as systemLookup } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { Agent, buildConnector, type Dispatcher, fetch as undiciFetch } from 'undici';
import { SourceError } from '../source-error.ts';
import { type Reach, reachOf } from './addresses.ts';
import type { Allowlist } from './allowlist.ts';

const CONNECT_MILLISECONDS = 10_000;
const HEADERS_MILLISECONDS = 30_000;
/** Without a byte. */
const IDLE_MILLISECONDS = 30_000;
const MOST_REDIRECTS = 5;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Of the one that was asked first, and nobody else's business. */
const SECRETS = ['authorization', 'cookie', 'proxy-authorization'] as const;

type Resolve = (hostname: string) => Promise<readonly LookupAddress[]>;

export interface GuardOptions {
  readonly allowlist: Allowlist;
  /** How names are looked up: the system's way. */
  readonly resolve?: Resolve;
  /** Longest time without a byte of an answer. */
  readonly idleMilliseconds?: number;
}

/**
 * `fetch` for addresses that somebody else chose. Each request, and each redirect, goes only where the allowlist says;
 * each connection only to an address that was looked at as it is made, so that a name that changes its address between
 * two look-ups leads nowhere else.
 */
export class GuardedFetch {
  readonly #allowlist: Allowlist;
  readonly #agents: Readonly<Record<'public' | 'inner', Agent>>;

  constructor({ allowlist, resolve = resolveAll, idleMilliseconds = IDLE_MILLISECONDS }: GuardOptions) {
    this.#allowlist = allowlist;
    const agent = (reaches: readonly Reach[]) =>
      new Agent({
        connect: guardedConnector(reaches, resolve),
        headersTimeout: Math.min(HEADERS_MILLISECONDS, idleMilliseconds),
        bodyTimeout: idleMilliseconds,
      });
    this.#agents = { public: agent(['public']), inner: agent(['public', 'inner']) };
  }

  /** As the global one, for GET and HEAD. @throws SourceError where it is refused or cannot be reached */
  readonly fetch: typeof fetch = async (input, init = {}) => {
    let url = new URL(input instanceof Request ? input.url : String(input));
    const headers = new Headers(init.headers ?? (input instanceof Request ? input.headers : {}));
    for (let redirects = 0; ; redirects++) {
      const response = await this.#once(url, { ...init, headers });
      const location = response.headers.get('location');
      if (!REDIRECTS.has(response.status) || location === null) return response;
      await response.body?.cancel();
      if (redirects === MOST_REDIRECTS)
        throw new SourceError('source_refused', `${url.host} redirects more than ${MOST_REDIRECTS} times`);
      if (!URL.canParse(location, url.href))
        throw new SourceError('source_refused', `${url.host} redirects to what is no address`);
      const next = new URL(location, url.href);
      if (next.origin !== url.origin) for (const name of SECRETS) headers.delete(name);
      url = next;
    }
  };

  async close(): Promise<void> {
    await Promise.all(Object.values(this.#agents).map((agent) => agent.destroy()));
  }

  async #once(url: URL, init: RequestInit): Promise<Response> {
    const permission = this.#allowlist.permit(url);
    // User names and passwords in a redirect would be sent to whoever it names.
    if (permission === null || url.username !== '' || url.password !== '') {
      throw new SourceError(
        'source_refused',
        `the server does not fetch from ${url.protocol}//${url.host}: its operator has not allowed it (--import-hosts)`,
      );
    }
    const dispatcher: Dispatcher = this.#agents[permission.inner ? 'inner' : 'public'];
    try {
      const { method = 'GET', headers, signal } = init;
      const answer = await undiciFetch(url.href, {
        method,
        headers: Object.fromEntries(new Headers(headers)),
        redirect: 'manual',
        dispatcher,
        ...(signal == null ? {} : { signal }),
      });
      // The same class of another copy of undici.
      return answer as unknown as Response;
    } catch (error) {
      throw init.signal?.aborted ? init.signal.reason : unreachable(url, error);
    }
  }
}

/** What stopped a request on its way, as a SourceError. */
export function unreachable(url: URL, error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof SourceError) return error;
  const { cause } = error;
  if (cause instanceof SourceError) return cause;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : error.message;
  return new SourceError('source_unavailable', `${url.host} cannot be reached (${code})`, { cause: error });
}

function guardedConnector(reaches: readonly Reach[], resolve: Resolve): buildConnector.connector {
  const lookup = guardedLookup(reaches, resolve);
  const connect = buildConnector({ timeout: CONNECT_MILLISECONDS, lookup } as buildConnector.BuildOptions);
  return (options, callback) => {
    const host = options.hostname.replace(/^\[|\]$/g, '');
    // An address is not looked up.
    if (isIP(host) !== 0 && !reaches.includes(reachOf(host))) {
      callback(refusal(host, [host]), null);
      return;
    }
    connect(options, (error, socket) => {
      if (error !== null) {
        callback(error, null);
        return;
      }
      // What was connected to in the end, however it came to that.
      if (!reaches.includes(reachOf(socket.remoteAddress ?? ''))) {
        socket.destroy();
        callback(refusal(host, [socket.remoteAddress ?? 'an unknown address']), null);
        return;
      }
      callback(null, socket);
    });
  };
}

/** Looks a name up and gives only those of its addresses that may be connected to. */
export function guardedLookup(reaches: readonly Reach[], resolve: Resolve = resolveAll): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname).then(
      (found) => {
        const allowed = found.filter(({ address }) => reaches.includes(reachOf(address)));
        const [first] = allowed;
        if (first === undefined)
          callback(
            refusal(
              hostname,
              found.map(({ address }) => address),
            ),
            '',
            0,
          );
        else if (options.all === true) callback(null, [...allowed]);
        else callback(null, first.address, first.family);
      },
      (error: NodeJS.ErrnoException) => callback(error, '', 0),
    );
  };
}

function refusal(host: string, addresses: readonly string[]): SourceError {
  return new SourceError(
    'source_refused',
    `${host} is at ${addresses.join(', ') || 'no address'}, which the server does not connect to`,
  );
}

function resolveAll(hostname: string): Promise<LookupAddress[]> {
  return new Promise((resolve, reject) => {
    systemLookup(hostname, { all: true }, (error, addresses) =>
      error === null ? resolve(addresses) : reject(error),
    );
  });
}
