import { TokenVerifier } from './token-verifier.ts';
import type { Verifier } from './verifier.ts';

/** Reads the weights, half a megabyte. */
export function loadVerifier(): Verifier {
  return new TokenVerifier();
}
