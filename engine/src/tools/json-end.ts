/** Finds where a JSON value ends, in a text that comes in pieces. */
export class JsonEnd {
  #depth = 0;
  #inString = false;
  #escaped = false;
  #begun = false;

  /** @returns how many of the characters belong to the value, if it ends among them, else null */
  push(text: string): number | null {
    for (let at = 0; at < text.length; at++) {
      const character = text[at]!;
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (character === '\\') this.#escaped = true;
        else if (character === '"') {
          this.#inString = false;
          if (this.#depth === 0) return at + 1;
        }
      } else if (character === '"') {
        this.#inString = true;
        this.#begun = true;
      } else if (character === '{' || character === '[') {
        this.#depth++;
        this.#begun = true;
      } else if (character === '}' || character === ']') {
        // Of what the value is in: a number or a word ends before it.
        if (this.#depth === 0) return at;
        this.#depth--;
        if (this.#depth === 0) return at + 1;
      } else if (this.#depth === 0 && this.#begun && (character === ',' || /\s/.test(character))) {
        return at;
      } else if (!/\s/.test(character)) {
        this.#begun = true;
      }
    }
    return null;
  }
}
