import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Embedding, TokenComparison } from '@polylora/engine';
import { z } from 'zod';
import type { Probe, Verifier } from './verifier.ts';
import { readWording, type Wording } from './wording.ts';
import { wordingFeatures } from './wording-features.ts';

/** Beside the sources: what is compiled has the same way there. */
const WEIGHTS = new URL('../../../src/cache/verification/weights.bin', import.meta.url);

/** As `train.py` writes the weights' file: the length of a head in JSON, the head, and the tensors as float32. */
const LENGTH_BYTES = 4;
const Head = z.object({
  width: z.int(),
  d: z.int(),
  hidden: z.int(),
  extra: z.int(),
  members: z.int(),
  slope: z.number(),
  offset: z.number(),
});

const VERSION_BYTES = 4;

/** Of the same text, and of one that differs in capitals, blanks and the mark at its end. */
const SURE = 1;
const AS_GOOD_AS_SURE = 0.99;

/** What is known of a question. */
interface Known {
  readonly signature: Uint8Array;
  /** null until it is first compared. */
  wording: Wording | null;
}

/** Compares questions by their tokens' states after the first layers of all-MiniLM-L6-v2, and by their wording. */
export class TokenVerifier implements Verifier {
  readonly #comparison: TokenComparison;
  readonly #width: number;
  /** Of the weights: what was signed with others cannot be compared. */
  readonly #version: Uint8Array;
  /** By a question's embedding: it is compared with several, and kept where none of them will do. */
  readonly #known = new WeakMap<Embedding, Known>();

  constructor() {
    const file = readFileSync(WEIGHTS);
    const tensors = LENGTH_BYTES + file.readUInt32LE(0);
    const head = Head.parse(JSON.parse(file.toString('utf8', LENGTH_BYTES, tensors)));
    this.#width = head.width;
    this.#version = new Uint8Array(createHash('sha256').update(file).digest().subarray(0, VERSION_BYTES));
    // A copy: a Buffer may begin anywhere in its memory, and floats may not.
    const values = new Float32Array(new Uint8Array(file.subarray(tensors)).buffer);
    this.#comparison = new TokenComparison(head, values, this.#version);
  }

  sign(embedding: Embedding): Uint8Array {
    return this.#of(embedding).signature;
  }

  verify(
    { text, embedding }: Probe,
    candidate: { readonly text: string; readonly signature: Uint8Array },
    similarity: number,
  ): number {
    if (text === candidate.text) return SURE;
    const own = this.#of(embedding);
    if (!this.#isSigned(own.signature) || !this.#isSigned(candidate.signature)) return 0;
    if (plain(text) === plain(candidate.text)) return AS_GOOD_AS_SURE;
    own.wording ??= readWording(text);
    const wording = wordingFeatures(own.wording, readWording(candidate.text));
    const extra = Float32Array.of(...wording, similarity);
    return this.#comparison.compare(own.signature, candidate.signature, extra) ?? 0;
  }

  #of(embedding: Embedding): Known {
    const known = this.#known.get(embedding);
    if (known !== undefined) return known;
    const made = { signature: this.#sign(embedding), wording: null };
    this.#known.set(embedding, made);
    return made;
  }

  #sign({ tokenIds, tokenStates }: Embedding): Uint8Array {
    // Another model's, or none: nothing that could be compared.
    const isKnown = tokenStates?.length === tokenIds.length * this.#width && tokenIds.length > 2;
    if (!isKnown) return this.#version;
    // The first and the last token only open and close the text.
    return this.#comparison.sign(tokenIds.subarray(1, -1), tokenStates.subarray(this.#width, -this.#width));
  }

  /** Whether it says something, and was made with these weights. */
  #isSigned(signature: Uint8Array): boolean {
    return (
      signature.length > VERSION_BYTES && this.#version.every((byte, index) => byte === signature[index])
    );
  }
}

/** Without capitals, blanks that do not matter, and the mark that ends a question; "!" may be a factorial. */
function plain(text: string): string {
  return text
    .toLowerCase()
    .replace(/\s+/g, ' ')
    .replace(/^ | ?[?.]* ?$/g, '');
}
