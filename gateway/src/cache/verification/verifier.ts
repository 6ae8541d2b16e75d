import type { Wording } from './wording.ts';

/** A question as it was read, to be compared with several. */
export interface Probe {
  readonly text: string;
  readonly wording: Wording;
}

/** Tells of two questions that are near each other whether they ask for the same. */
export interface Verifier {
  /** Needs no embedding, so that it can be done while one is made. */
  read(text: string): Probe;
  /**
   * @param signature of the probe; without one, as where there are no tokens, only equal texts are the same
   * @returns the probability that `candidate`'s answer answers the probe, as estimated
   */
  verify(
    probe: Probe,
    signature: Uint8Array | null,
    candidate: { readonly text: string; readonly signature: Uint8Array | null },
    similarity: number,
  ): number;
}
