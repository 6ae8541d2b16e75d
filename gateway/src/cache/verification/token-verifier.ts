import type { Embedding } from '@polylora/engine';
import { Network, type TokenMarks, type TokenRows } from './network.ts';
import type { Probe, Verifier } from './verifier.ts';
import { readWording } from './wording.ts';
import { wordingFeatures } from './wording-features.ts';

/** Beside the sources: what is compiled has the same way there. */
const WEIGHTS = new URL('../../../src/cache/verification/weights.bin', import.meta.url);

/**
 * A signature: four bytes of the weights' version, each token's id in two bytes, and for each member of the network and each token a
 * scale in four bytes and the codes of its projected state in one each.
 */
const VERSION_BYTES = 4;
const ID_BYTES = 2;
const SCALE_BYTES = 4;
const MOST_CODE = 127;

/** Of BERT's vocabulary, which is by frequency from there on. */
const WORDS_BEGIN = 1996;

/** Of the same text, and of one that differs in capitals, blanks and the mark at its end. */
const SURE = 1;
const AS_GOOD_AS_SURE = 0.99;

interface Signed {
  readonly signature: Uint8Array;
  /** As it is read from the signature, so that it does not matter which of two questions was there first. */
  readonly text: Text | null;
}

interface Text {
  readonly members: readonly TokenRows[];
  readonly marks: TokenMarks;
}

/** Compares questions by their tokens' states after the first layers of all-MiniLM-L6-v2, and by their wording. */
export class TokenVerifier implements Verifier {
  readonly #network = Network.read(WEIGHTS);
  /** By a question's states: it is compared with several, and kept where none of them will do. */
  readonly #known = new WeakMap<Float32Array, Signed>();

  sign({ embedding }: Probe): Uint8Array {
    return this.#signed(embedding).signature;
  }

  verify(
    probe: Probe,
    candidate: { readonly text: string; readonly signature: Uint8Array },
    similarity: number,
  ): number {
    if (probe.text === candidate.text) return SURE;
    const own = this.#signed(probe.embedding).text;
    const other = this.#read(candidate.signature);
    if (own === null || other === null) return 0;
    if (plain(probe.text) === plain(candidate.text)) return AS_GOOD_AS_SURE;
    const wording = wordingFeatures(readWording(probe.text), readWording(candidate.text));
    const extra = new Float64Array(wording.length + 1);
    extra.set(wording);
    extra[wording.length] = similarity;
    return this.#network.compare(own.members, other.members, own.marks, other.marks, extra);
  }

  #signed({ tokenIds, tokenStates }: Embedding): Signed {
    // Another model's, or none: nothing that could be compared.
    const isKnown = tokenStates?.length === tokenIds.length * this.#network.head.width && tokenIds.length > 2;
    if (!isKnown) return { signature: this.#network.version.slice(), text: null };
    const known = this.#known.get(tokenStates);
    if (known !== undefined) return known;
    const signature = this.#write(tokenIds, tokenStates);
    const signed = { signature, text: this.#read(signature) };
    this.#known.set(tokenStates, signed);
    return signed;
  }

  #write(tokenIds: Uint32Array, tokenStates: Float32Array): Uint8Array {
    const { width, d, members } = this.#network.head;
    // The first and the last token only open and close the text.
    const ids = tokenIds.subarray(1, -1);
    const states = Float64Array.from(tokenStates.subarray(width, -width));
    const signature = new Uint8Array(VERSION_BYTES + ids.length * this.#bytesOfToken());
    const view = new DataView(signature.buffer);
    signature.set(this.#network.version);
    let at = VERSION_BYTES;
    for (const id of ids) {
      view.setUint16(at, id, true);
      at += ID_BYTES;
    }
    for (let member = 0; member < members; member++) {
      const rows = this.#network.project(member, states);
      for (let begin = 0; begin < rows.length; begin += d) {
        let largest = 0;
        for (let k = begin; k < begin + d; k++) largest = Math.max(largest, Math.abs(rows[k]!));
        const scale = Math.fround(largest / MOST_CODE);
        view.setFloat32(at, scale, true);
        at += SCALE_BYTES;
        for (let k = begin; k < begin + d; k++) {
          view.setInt8(at++, scale === 0 ? 0 : Math.round(rows[k]! / scale));
        }
      }
    }
    return signature;
  }

  /** null: it says nothing, or was made with other weights. */
  #read(signature: Uint8Array): Text | null {
    const { d, members } = this.#network.head;
    const count = (signature.length - VERSION_BYTES) / this.#bytesOfToken();
    if (count < 1 || !Number.isInteger(count)) return null;
    if (this.#network.version.some((byte, index) => byte !== signature[index])) return null;
    const view = new DataView(signature.buffer, signature.byteOffset, signature.byteLength);
    const ids = new Uint16Array(count);
    const rarities = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      ids[i] = view.getUint16(VERSION_BYTES + i * ID_BYTES, true);
      rarities[i] = Math.log(Math.max(1, ids[i]! - WORDS_BEGIN)) / 10;
    }
    let at = VERSION_BYTES + count * ID_BYTES;
    const texts: TokenRows[] = [];
    for (let member = 0; member < members; member++) {
      const rows = new Float64Array(count * d);
      for (let begin = 0; begin < rows.length; begin += d) {
        const scale = view.getFloat32(at, true);
        at += SCALE_BYTES;
        for (let k = begin; k < begin + d; k++) rows[k] = scale * view.getInt8(at++);
      }
      texts.push(this.#network.prepare(member, rows));
    }
    return { members: texts, marks: { ids, rarities } };
  }

  #bytesOfToken(): number {
    const { d, members } = this.#network.head;
    return ID_BYTES + members * (SCALE_BYTES + d);
  }
}

/** Without capitals, blanks that do not matter, and the mark that ends a question; "!" may be a factorial. */
function plain(text: string): string {
  return text
    .toLowerCase()
    .replace(/\s+/g, ' ')
    .replace(/^ | ?[?.]* ?$/g, '');
}
