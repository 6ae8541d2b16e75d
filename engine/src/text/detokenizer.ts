import type { Tokenizer } from '@polylora/engine-native';

const specialIdsOf = new WeakMap<Tokenizer, ReadonlySet<number>>();

const SPACE = 0x20;

/**
 * Turns one sequence's tokens into text as they come, without special tokens. A character is given out once its
 * last byte is there; bytes that can no longer become a character give U+FFFD. All pieces together are what the
 * tokenizer decodes from all tokens at once. (Byte-fallback tokenizers differ where bytes are malformed: they
 * replace every byte of the run, also those that were a character and are given out already.)
 */
export class Detokenizer {
  readonly #tokenizer: Tokenizer;
  readonly #special: ReadonlySet<number>;
  readonly #shown: ReadonlySet<number>;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #started = false;

  /** @param shown special tokens whose text is given out all the same */
  constructor(tokenizer: Tokenizer, shown: ReadonlySet<number> = new Set()) {
    this.#tokenizer = tokenizer;
    this.#shown = shown;
    this.#special = specialIds(tokenizer);
  }

  /** The text that these tokens complete; may be empty. */
  push(ids: Iterable<number>): string {
    let text = '';
    for (const id of ids) {
      if (this.#special.has(id) && !this.#shown.has(id)) continue;
      text += this.#decoder.decode(this.#bytes(id), { stream: true });
    }
    return text;
  }

  /** What is left at the end: U+FFFD if the last character is incomplete. */
  flush(): string {
    return this.#decoder.decode();
  }

  #bytes(id: number): Uint8Array {
    const bytes = this.#tokenizer.tokenBytes(id);
    if (this.#started || bytes.length === 0) return bytes;
    this.#started = true;
    // SentencePiece decoders strip one space at the start of a text.
    if (bytes[0] !== SPACE || this.#tokenizer.decode(Uint32Array.of(id), false).startsWith(' ')) return bytes;
    return bytes.subarray(1);
  }
}

function specialIds(tokenizer: Tokenizer): ReadonlySet<number> {
  let ids = specialIdsOf.get(tokenizer);
  if (ids === undefined) {
    ids = new Set(tokenizer.controlTokens().flatMap(({ id, special }) => (special ? [id] : [])));
    specialIdsOf.set(tokenizer, ids);
  }
  return ids;
}
