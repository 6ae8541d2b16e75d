import { once } from 'node:events';
import { createServer, type Server, STATUS_CODES } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { getRequestListener, type HttpBindings, RequestError } from '@hono/node-server';
import { ApiError } from './errors.ts';
import { errorResponse } from './http/context.ts';
import { passOver } from './http/unread-body.ts';

/** Longer than the pools of common clients and proxies keep idle connections, so that they close first. */
const KEEP_ALIVE_MILLISECONDS = 75_000;

/** For which a client that was refused, and goes on sending, may read why. */
const LINGER_MILLISECONDS = 1_000;

/** Times that a client has to send. */
export interface Patience {
  /** For its headers: connections that send them a byte at a time are closed. */
  readonly headersMilliseconds: number;
  /** For all of its request: an adapter of 2 GB at 5 Mbit/s takes 54 minutes. */
  readonly requestMilliseconds: number;
}

const PATIENCE: Patience = { headersMilliseconds: 60_000, requestMilliseconds: 2 * 3_600_000 };

/** Why the server cannot listen, in a sentence for its operator. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
  readonly code = 'cannot_listen';
}

const SILENT = new WeakMap<Server, Set<Socket>>();

/** Connections that have sent no request yet; to Node they are not idle, so that closing would wait for them. */
function silentSockets(server: Server): Set<Socket> {
  const known = SILENT.get(server) ?? new Set();
  SILENT.set(server, known);
  return known;
}

type Fetch = (request: Request, bindings: HttpBindings) => Response | Promise<Response>;

/** An HTTP server for an app; it does not listen yet. */
export function createHttpServer(fetch: Fetch, patience = PATIENCE): Server {
  const answer = (request: Request, bindings: HttpBindings): Promise<Response> =>
    Promise.resolve(fetch(request, bindings)).then((response) =>
      response.status < 400 ? response : passOver(bindings.incoming).then(() => response),
    );
  const listener = getRequestListener((request, bindings) => answer(request, bindings as HttpBindings), {
    errorHandler: (error) => {
      if (!(error instanceof RequestError)) throw error;
      return errorResponse(new ApiError('malformed_http', `The request is not valid: ${error.message}.`));
    },
  });
  const options = {
    keepAliveTimeout: KEEP_ALIVE_MILLISECONDS,
    headersTimeout: patience.headersMilliseconds,
    requestTimeout: patience.requestMilliseconds,
    connectionsCheckingInterval: Math.min(30_000, patience.headersMilliseconds),
  };
  const server = createServer(options, (request, response) => {
    void listener(request, response);
  });
  server.on('clientError', refuseMalformed);
  server.on('connection', (socket: Socket) => {
    silentSockets(server).add(socket);
    socket.once('close', () => silentSockets(server).delete(socket));
  });
  server.on('request', (request) => silentSockets(server).delete(request.socket));
  return server;
}

/**
 * @returns the port, which the system chose where `port` is 0
 * @throws ListenError
 */
export async function listen(server: Server, host: string, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, host, port)));
    server.listen(port, host, resolve);
  });
  return (server.address() as AddressInfo).port;
}

/**
 * Stops listening and resolves when all connections are closed: idle ones at once, others when their answer is
 * sent, and what is left after a while in any case.
 */
export async function closeServer(server: Server, graceMilliseconds: number): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  for (const socket of silentSockets(server)) socket.destroy();
  // A connection that becomes idle later would wait for its keep-alive to run out.
  const idle = setInterval(() => server.closeIdleConnections(), 50);
  const late = setTimeout(() => server.closeAllConnections(), graceMilliseconds);
  await closed;
  clearInterval(idle);
  clearTimeout(late);
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): ListenError {
  const options = { cause: error };
  switch (error.code) {
    case 'EADDRINUSE':
      return new ListenError(
        `Port ${port} on ${host} is in use: stop what uses it, or choose another with --port.`,
        options,
      );
    case 'EACCES':
      return new ListenError(
        `Port ${port} may not be used by this user: choose one above 1023 with --port.`,
        options,
      );
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new ListenError(
        `${host} is not an address of this machine: choose another with --host.`,
        options,
      );
    default:
      return new ListenError(`Cannot listen on ${host}, port ${port}: ${error.message}.`, options);
  }
}

const REFUSED = new WeakSet<Duplex>();

/** Answers what is not HTTP, or has headers beyond the parser's limits, in OpenAI's form. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (REFUSED.has(socket)) return;
  if (error.code === 'ECONNRESET' || !socket.writable || (socket as Socket).bytesWritten > 0) {
    socket.destroy(error);
    return;
  }
  const refusal = refusalOf(error);
  const body = JSON.stringify(refusal.body());
  const head = [
    `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  REFUSED.add(socket);
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
  // A connection that is closed while more comes is reset, and the answer lost with it. So what still comes is left where it is
  // until the client has had the time to read.
  socket.pause();
  setTimeout(() => socket.destroy(), LINGER_MILLISECONDS).unref();
}

function refusalOf({ code }: NodeJS.ErrnoException): ApiError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new ApiError('headers_too_large', 'The request headers are too large.');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new ApiError(
        'request_timeout',
        'The request did not come in time. Please send it faster, or in parts.',
      );
    default:
      return new ApiError('malformed_http', 'The request is not valid HTTP.');
  }
}
