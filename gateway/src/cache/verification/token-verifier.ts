import { Network, type TokenMarks, type TokenRows } from './network.ts';
import type { Probe, Verifier } from './verifier.ts';
import { readWording, type Wording } from './wording.ts';
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

/** Nothing that this answers for is more certain. */
const SURE = 1;

interface Text {
  readonly members: readonly TokenRows[];
  readonly marks: TokenMarks;
}

/** Compares questions by their tokens' states after the first layers of all-MiniLM-L6-v2, and by their wording. */
export class TokenVerifier implements Verifier {
  readonly #network = Network.read(WEIGHTS);
  /** A probe is compared with several candidates. */
  readonly #probes = new WeakMap<Probe, { readonly text: Text | null; readonly wording: Wording }>();

  sign({ embedding }: Probe): Uint8Array {
    const { width, d, members } = this.#network.head;
    const { tokenIds, tokenStates } = embedding;
    // Another model's states: nothing that could be compared.
    if (tokenStates?.length !== tokenIds.length * width || tokenIds.length < 2)
      return this.#network.version.slice();
    // The first and the last token only open and close the text.
    const ids = tokenIds.subarray(1, -1);
    const states = tokenStates.subarray(width, -width);
    const signature = Buffer.alloc(VERSION_BYTES + ids.length * this.#bytesOfToken());
    signature.set(this.#network.version);
    let at = VERSION_BYTES;
    for (const id of ids) at = signature.writeUInt16LE(id & 0xffff, at);
    for (let member = 0; member < members; member++) {
      const rows = this.#network.project(member, states);
      for (let begin = 0; begin < rows.length; begin += d) {
        let largest = 0;
        for (let k = begin; k < begin + d; k++) largest = Math.max(largest, Math.abs(rows[k]!));
        const scale = Math.fround(largest / MOST_CODE);
        at = signature.writeFloatLE(scale, at);
        for (let k = begin; k < begin + d; k++) {
          at = signature.writeInt8(scale === 0 ? 0 : Math.round(rows[k]! / scale), at);
        }
      }
    }
    return signature;
  }

  verify(
    probe: Probe,
    candidate: { readonly text: string; readonly signature: Uint8Array },
    similarity: number,
  ): number {
    if (probe.text === candidate.text) return SURE;
    const own = this.#probe(probe);
    const other = this.#read(candidate.signature);
    if (own.text === null || other === null) return 0;
    const wording = wordingFeatures(own.wording, readWording(candidate.text));
    const extra = new Float64Array(wording.length + 1);
    extra.set(wording);
    extra[wording.length] = similarity;
    return this.#network.compare(own.text.members, other.members, own.text.marks, other.marks, extra);
  }

  #probe(probe: Probe) {
    const known = this.#probes.get(probe);
    if (known !== undefined) return known;
    // Through its signature, so that it does not matter which of two was there first.
    const made = { text: this.#read(this.sign(probe)), wording: readWording(probe.text) };
    this.#probes.set(probe, made);
    return made;
  }

  /** null: it says nothing, or was made with other weights. */
  #read(signature: Uint8Array): Text | null {
    const { d, members } = this.#network.head;
    const count = (signature.length - VERSION_BYTES) / this.#bytesOfToken();
    if (count < 1 || !Number.isInteger(count)) return null;
    const bytes = Buffer.from(signature.buffer, signature.byteOffset, signature.byteLength);
    if (!bytes.subarray(0, VERSION_BYTES).equals(this.#network.version)) return null;
    const ids = new Uint16Array(count);
    const rarities = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      ids[i] = bytes.readUInt16LE(VERSION_BYTES + i * ID_BYTES);
      rarities[i] = Math.log(Math.max(1, ids[i]! - WORDS_BEGIN)) / 10;
    }
    let at = VERSION_BYTES + count * ID_BYTES;
    const texts: TokenRows[] = [];
    for (let member = 0; member < members; member++) {
      const rows = new Float32Array(count * d);
      for (let begin = 0; begin < rows.length; begin += d) {
        const scale = bytes.readFloatLE(at);
        at += SCALE_BYTES;
        for (let k = begin; k < begin + d; k++) rows[k] = scale * bytes.readInt8(at++);
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
