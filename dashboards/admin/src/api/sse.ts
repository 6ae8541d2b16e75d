/** Server-sent events, read piece by piece: <https://html.spec.whatwg.org/multipage/server-sent-events.html>. */
export interface ServerEvent {
  /** `message` where the stream does not say. */
  readonly event: string;
  readonly data: string;
}

/** Puts the pieces of a stream together. Pieces may end anywhere, also within a line or its end. */
export class ServerEventReader {
  #rest = '';
  #event = '';
  #data: string[] = [];

  /** The events that are whole with this piece. */
  read(piece: string): ServerEvent[] {
    const text = this.#rest + piece;
    // A carriage return at the end may be the first half of a line's end.
    const isSplit = text.endsWith('\r');
    const lines = (isSplit ? text.slice(0, -1) : text).split(/\r\n|\n|\r/);
    this.#rest = (lines.pop() ?? '') + (isSplit ? '\r' : '');
    return lines.flatMap((line) => this.#line(line));
  }

  #line(line: string): ServerEvent[] {
    if (line === '') return this.#end();
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.#event = value;
    if (field === 'data') this.#data.push(value);
    return [];
  }

  #end(): ServerEvent[] {
    const event = this.#event === '' ? 'message' : this.#event;
    const data = this.#data;
    this.#event = '';
    this.#data = [];
    return data.length === 0 ? [] : [{ event, data: data.join('\n') }];
  }
}
