import { fileURLToPath } from 'node:url';
import { readTokenComparison } from '@polylora/engine';
import type { Probe, Verifier } from './verifier.ts';
import { readWording } from './wording.ts';
import { wordingFeatures } from './wording-features.ts';

/** The networks' weights, a quarter of a megabyte. Beside the sources: what is compiled has the same way there. */
export const COMPARISON_FILE = fileURLToPath(
  new URL('../../../src/cache/verification/weights.bin', import.meta.url),
);

/** The model whose token states verification was trained on; by another's it would tell anything. */
export const VERIFIED_MODEL = 'all-MiniLM-L6-v2';

/** Of the same text, and of one that differs in capitals, blanks and the mark at its end. */
const SURE = 1;
const AS_GOOD_AS_SURE = 0.99;

/** Compares questions by their tokens' states after the first layers of all-MiniLM-L6-v2, and by their wording. */
export class TokenVerifier implements Verifier {
  readonly #comparison = readTokenComparison(COMPARISON_FILE).networks;

  read(text: string): Probe {
    return { text, wording: readWording(text) };
  }

  verify(
    { text, wording }: Probe,
    signature: Uint8Array | null,
    candidate: { readonly text: string; readonly signature: Uint8Array | null },
    similarity: number,
  ): number {
    if (text === candidate.text) return SURE;
    if (plain(text) === plain(candidate.text)) return AS_GOOD_AS_SURE;
    if (signature === null || candidate.signature === null) return 0;
    const extra = Float32Array.of(...wordingFeatures(wording, readWording(candidate.text)), similarity);
    return this.#comparison.compare(signature, candidate.signature, extra) ?? 0;
  }
}

/** Without capitals, blanks that do not matter, and the mark that ends a question; "!" may be a factorial. */
function plain(text: string): string {
  return text
    .toLowerCase()
    .replace(/\s+/g, ' ')
    .replace(/^ | ?[?.]* ?$/g, '');
}
