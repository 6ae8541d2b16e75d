import type { Embedding } from '@polylora/engine';

/** A question as verification compares it. */
export interface Probe {
  readonly text: string;
  /** With its signature. */
  readonly embedding: Embedding;
}

/** Tells of two questions that are near each other whether they ask for the same. */
export interface Verifier {
  /** @returns the probability that `candidate`'s answer answers the probe, as estimated */
  verify(
    probe: Probe,
    candidate: { readonly text: string; readonly signature: Uint8Array },
    similarity: number,
  ): number;
}
