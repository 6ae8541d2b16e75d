import { connect, type Socket } from 'node:net';

/** How one request went. */
interface Handlers {
  /** Told of every piece of the body. */
  onPiece(bytes: Buffer): void;
  onEnd(status: number): void;
}

/**
 * A kept connection that has one request at a time. It reads of HTTP only what it must to know where an answer ends, so that
 * measuring takes little of what is measured.
 */
export class Connection {
  readonly #socket: Socket;
  readonly #onBroken: (error: Error) => void;
  #pending: Buffer = Buffer.alloc(0);
  #handlers: Handlers | null = null;
  #status = 0;
  /** Bytes of the body that are still to come; null: in chunks. */
  #left: number | null = 0;
  #isInBody = false;

  constructor(url: URL, onBroken: (error: Error) => void) {
    this.#onBroken = onBroken;
    this.#socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true });
    this.#socket.on('data', (data) => this.#read(data));
    this.#socket.on('error', onBroken);
    this.#socket.on('close', () => {
      if (this.#handlers !== null)
        onBroken(new Error('the server closed the connection before its answer was complete'));
    });
  }

  get isUsable(): boolean {
    return !this.#socket.destroyed && this.#socket.writable;
  }

  send(request: Buffer, handlers: Handlers): void {
    this.#handlers = handlers;
    this.#socket.write(request);
  }

  close(): void {
    this.#handlers = null;
    this.#socket.destroy();
  }

  #read(data: Buffer): void {
    this.#pending = this.#pending.length === 0 ? data : Buffer.concat([this.#pending, data]);
    if (!this.#isInBody && !this.#readHead()) return;
    if (this.#left === null) this.#readChunks();
    else this.#readLength(this.#left);
  }

  #readHead(): boolean {
    const end = this.#pending.indexOf('\r\n\r\n');
    if (end < 0) return false;
    const head = this.#pending.toString('latin1', 0, end).toLowerCase();
    this.#status = Number(head.slice(9, 12));
    const length = /\r\ncontent-length: *(\d+)/.exec(head)?.[1];
    if (length === undefined && !head.includes('\r\ntransfer-encoding: chunked')) {
      this.#onBroken(new Error(`an answer of unknown length: ${head}`));
      return false;
    }
    this.#left = length === undefined ? null : Number(length);
    this.#pending = this.#pending.subarray(end + 4);
    this.#isInBody = true;
    return true;
  }

  #readLength(left: number): void {
    const piece = this.#pending.subarray(0, left);
    if (piece.length > 0) this.#handlers?.onPiece(piece);
    this.#left = left - piece.length;
    this.#pending = this.#pending.subarray(piece.length);
    if (this.#left === 0) this.#end();
  }

  #readChunks(): void {
    for (;;) {
      const line = this.#pending.indexOf('\r\n');
      if (line < 0) return;
      const size = Number.parseInt(this.#pending.toString('latin1', 0, line), 16);
      const end = line + 2 + size + 2;
      if (this.#pending.length < end) return;
      const piece = this.#pending.subarray(line + 2, line + 2 + size);
      this.#pending = this.#pending.subarray(end);
      if (size === 0) {
        this.#end();
        return;
      }
      this.#handlers?.onPiece(piece);
    }
  }

  #end(): void {
    const handlers = this.#handlers;
    this.#handlers = null;
    this.#isInBody = false;
    handlers?.onEnd(this.#status);
  }
}
