import type { TokenLogprob, TokenLogprobs, TokenText } from '@polylora/engine';

/** JSON has no infinity: OpenAI writes this for a probability of zero. */
const LEAST_LOGPROB = -9999;

interface ChatTokenLogprob {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[];
}

export interface ChatLogprobs {
  readonly content: readonly (ChatTokenLogprob & { readonly top_logprobs: readonly ChatTokenLogprob[] })[];
  readonly refusal: null;
}

/** The chat route's shape. */
export function chatLogprobs(tokens: readonly TokenLogprobs[]): ChatLogprobs {
  return {
    content: tokens.map((token) => ({ top_logprobs: token.top.map(chatToken), ...chatToken(token) })),
    refusal: null,
  };
}

function chatToken({ text, logprob, bytes }: TokenLogprob): ChatTokenLogprob {
  return { token: text, logprob: finite(logprob), bytes };
}

/** The completion route's shape: four arrays with an element for each token. */
export interface LegacyLogprobs {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly (number | null)[];
  /** The chosen token is always among them, so there may be one more than asked for. */
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[];
  /** Where each token begins in the choice's text, in code points as Python counts them. */
  readonly text_offset: readonly number[];
}

/** Writes the logprobs of one choice; knows how far its text has come. */
export class LegacyLogprobsWriter {
  #decoder = new TextDecoder();
  #offset = 0;

  /**
   * Of an echoed prompt, whose first token has no logprob: the backend gives null for it, and its own text is
   * what the others leave of the prompt's (nothing where the tokenizer added it).
   * @param text the prompt's text, with which the choice's text begins
   */
  prompt(tokens: readonly (TokenLogprobs | null)[], text: string): LegacyLogprobs {
    if (tokens.length === 0) return this.write([]);
    const others = tokens.filter((token) => token !== null);
    const othersBytes = others.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const utf8 = Buffer.from(text);
    const first = utf8.toString('utf8', 0, Math.max(0, utf8.length - othersBytes));
    this.#offset = codePoints(first);
    const written = this.write(others);
    this.#offset = codePoints(text);
    return {
      tokens: [first, ...written.tokens],
      token_logprobs: [null, ...written.token_logprobs],
      top_logprobs: [null, ...written.top_logprobs],
      text_offset: [0, ...written.text_offset],
    };
  }

  /** Of tokens that follow those written before. */
  write(tokens: readonly TokenLogprobs[]): LegacyLogprobs {
    return {
      tokens: tokens.map(tokenName),
      token_logprobs: tokens.map(({ logprob }) => finite(logprob)),
      top_logprobs: tokens.map((token) =>
        Object.fromEntries([token, ...token.top].map((top) => [tokenName(top), finite(top.logprob)])),
      ),
      text_offset: tokens.map(({ bytes }) => this.#advance(bytes)),
    };
  }

  /** Where these bytes begin in the text; a character belongs where its last byte is. */
  #advance(bytes: readonly number[]): number {
    const begin = this.#offset;
    this.#offset += codePoints(this.#decoder.decode(Uint8Array.from(bytes), { stream: true }));
    return begin;
  }
}

/** A token's text; where it is part of a character, its bytes as OpenAI writes them, so that names differ. */
export function tokenName({ text, bytes }: TokenText): string {
  if (!text.includes('\u{FFFD}')) return text;
  return `bytes:${bytes.map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`;
}

/** JSON has no infinity. */
export function finite(logprob: number): number {
  return Math.max(logprob, LEAST_LOGPROB);
}

function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
