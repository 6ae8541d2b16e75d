import { expect, it } from 'vitest';
import { TokenVerifier } from './token-verifier.ts';

it('needs no signature for what is plainly equal', () => {
  const verifier = new TokenVerifier();
  const probe = verifier.read('What is the population of Norway?');
  for (const text of [probe.text, 'what is the  population of norway']) {
    for (const signature of [null, new Uint8Array(), Uint8Array.of(1, 2, 3, 4, 5)]) {
      expect(verifier.verify(probe, null, { text, signature }, 1)).toBeGreaterThanOrEqual(0.99);
      expect(verifier.verify(probe, signature, { text, signature: null }, 1)).toBeGreaterThanOrEqual(0.99);
    }
  }
  expect(verifier.verify(probe, null, { text: 'What is the area of Norway?', signature: null }, 1)).toBe(0);
});
