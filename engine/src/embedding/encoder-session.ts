import { Encoder, type TokenComparison } from '@polylora/engine-native';
import { ortLibrary } from '../ort-library.ts';
import type { Pooling } from './encoder.ts';
import { readTokenComparison } from './token-comparison.ts';
import type { Embedding } from './types.ts';

/** What came of one text; null what was not asked for. */
export type Encoded = Pick<Embedding, 'vector' | 'tokenStates' | 'signature'>;

export interface EncoderSessionOptions {
  readonly graphFile: string;
  readonly width: number;
  readonly pooling: Pooling;
  readonly threads: number;
  /** File of the networks that sign texts; null: none. */
  readonly comparison: string | null;
}

/** An encoder's graph in ONNX Runtime. */
export class EncoderSession {
  readonly #encoder: Encoder;
  readonly #width: number;
  readonly #comparison: TokenComparison | null;

  private constructor(encoder: Encoder, width: number, comparison: TokenComparison | null) {
    this.#encoder = encoder;
    this.#width = width;
    this.#comparison = comparison;
  }

  static async open(options: EncoderSessionOptions): Promise<EncoderSession> {
    const { graphFile, width, pooling, threads, comparison } = options;
    const encoder = await Encoder.open({ ortLibrary: ortLibrary(), graph: graphFile, threads, pooling });
    const loaded = comparison === null ? null : readTokenComparison(comparison);
    // Of other states nothing can be told.
    return new EncoderSession(encoder, width, loaded?.width === width ? loaded.networks : null);
  }

  /** Runs texts together, on the thread that calls it. */
  run(
    texts: readonly (readonly number[])[],
    parts: { readonly states: boolean; readonly signatures: boolean },
  ): Encoded[] {
    const width = this.#width;
    const lengths = Uint32Array.from(texts, (ids) => ids.length);
    const ids = Uint32Array.from(texts.flat());
    const { vectors, states, signatures } = this.#encoder.run(ids, lengths, parts, this.#comparison);
    let token = 0;
    return texts.map(({ length }, place) => {
      const begin = token;
      token += length;
      return {
        vector: vectors.slice(place * width, (place + 1) * width),
        tokenStates: states?.slice(begin * width, token * width) ?? null,
        signature: signatures?.[place] ?? null,
      };
    });
  }
}
