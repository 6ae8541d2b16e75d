import type { Tokenizer } from '@polylora/engine-native';
import { EngineError } from '../types.ts';
import type { EmbedInput, EmbedRequest, EncoderInfo } from './types.ts';

/** Characters of a token at most, to refuse what must be too long before it is tokenized; of WordPiece's words, one token in the worst case. */
const MOST_CHARACTERS = 1 << 20;

/** Turns inputs into the encoder's token ids. */
export class EncoderText {
  readonly #tokenizer: Tokenizer;
  readonly #info: EncoderInfo;

  constructor(tokenizer: Tokenizer, info: EncoderInfo) {
    this.#tokenizer = tokenizer;
    this.#info = info;
  }

  /**
   * @param place of the input in its request, for the message
   * @throws EngineError `context_length_exceeded`, `invalid_prompt`
   */
  ids(input: EmbedInput, place: number, truncate: EmbedRequest['truncate']): readonly number[] {
    const { maxTokens, name } = this.#info;
    const ids = typeof input === 'string' ? this.#textIds(input) : this.#checked(input, place);
    const most = truncate === null || truncate === 'model' ? maxTokens : Math.min(truncate, maxTokens);
    if (ids.length <= most) return ids;
    if (truncate !== null) return typeof input === 'string' ? cutBeforeEnd(ids, most) : ids.slice(0, most);
    throw new EngineError(
      'context_length_exceeded',
      `The maximum length of ${name} is ${maxTokens} tokens. However, input ${place} has ${ids.length}. ` +
        "Please reduce its length, or have it cut with 'truncate_prompt_tokens'.",
    );
  }

  #textIds(text: string): number[] {
    // Far more than can matter: whatever comes after so much is cut, or counted in vain.
    return [...this.#tokenizer.encode(text.slice(0, MOST_CHARACTERS), true)];
  }

  #checked(ids: readonly number[], place: number): readonly number[] {
    const wrong = ids.find((id) => id >= this.#info.vocabSize);
    if (wrong === undefined) return ids;
    throw new EngineError(
      'invalid_prompt',
      `input ${place} has the token ${wrong}, and ${this.#info.name} has ${this.#info.vocabSize} tokens.`,
    );
  }
}

/** The last token closes the text and stays. */
function cutBeforeEnd(ids: readonly number[], most: number): number[] {
  return most < 2 ? ids.slice(0, most) : [...ids.slice(0, most - 1), ids.at(-1)!];
}
