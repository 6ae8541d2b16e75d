import { UpstreamBroken } from './failure.ts';

/** More than any event has, also that of a server that sends a whole answer with its logprobs as one. */
const MOST_LINE_CHARACTERS = 8 << 20;

/** Takes the `data` out of server-sent events, whatever pieces they come in. */
export class EventData {
  #decoder = new TextDecoder();
  /** The line that has no end yet. */
  #line = '';

  /**
   * @returns the data of the events that are complete now, in their order
   * @throws UpstreamBroken where a line does not end
   */
  feed(bytes: Uint8Array): string[] {
    const text = this.#decoder.decode(bytes, { stream: true });
    const found: string[] = [];
    let begin = 0;
    // Only what is new is looked through: a long line in small pieces would else be read once for each of them.
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', begin)) {
      const line = this.#line + text.slice(begin, end);
      this.#line = '';
      // A space after the colon belongs to the field's syntax; JSON does not mind more of them, nor a carriage return.
      if (line.startsWith('data:')) found.push(line.slice('data:'.length).trim());
      begin = end + 1;
    }
    this.#line += text.slice(begin);
    if (this.#line.length > MOST_LINE_CHARACTERS)
      throw new UpstreamBroken('the upstream’s answer has an event without an end');
    return found;
  }

  /** @returns the data of a last line that has no end */
  end(): string[] {
    return this.feed(Buffer.from('\n'));
  }
}
