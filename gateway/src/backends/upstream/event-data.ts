/** Takes the `data` out of server-sent events, whatever pieces they come in. */
export class EventData {
  #decoder = new TextDecoder();
  #pending = '';

  /** @returns the data of the events that are complete now, in their order */
  feed(bytes: Uint8Array): string[] {
    const text = this.#pending + this.#decoder.decode(bytes, { stream: true });
    const found: string[] = [];
    let begin = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', begin)) {
      if (text.startsWith('data:', begin)) {
        // A space after the colon belongs to the field's syntax; JSON does not mind more of them, nor a carriage return.
        found.push(text.slice(begin + 'data:'.length, end).trim());
      }
      begin = end + 1;
    }
    this.#pending = text.slice(begin);
    return found;
  }

  /** @returns the data of a last line that has no end */
  end(): string[] {
    return this.feed(Buffer.from('\n'));
  }
}
