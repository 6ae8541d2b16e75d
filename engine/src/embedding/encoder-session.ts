import { Encoder } from '@polylora/engine-native';
import { ortLibrary } from '../ort-library.ts';
import type { Pooling } from './encoder.ts';
import { pool } from './pooling.ts';

/** What came of one text. */
export interface Encoded {
  readonly vector: Float32Array;
  /** null where they were not asked for. */
  readonly tokenStates: Float32Array | null;
}

/** An encoder's graph in ONNX Runtime. */
export class EncoderSession {
  readonly #encoder: Encoder;
  readonly #width: number;
  readonly #pooling: Pooling;

  private constructor(encoder: Encoder, width: number, pooling: Pooling) {
    this.#encoder = encoder;
    this.#width = width;
    this.#pooling = pooling;
  }

  static async open(
    { graphFile, width, pooling }: { graphFile: string; width: number; pooling: Pooling },
    threads: number,
  ): Promise<EncoderSession> {
    const encoder = await Encoder.open({ ortLibrary: ortLibrary(), graph: graphFile, threads });
    return new EncoderSession(encoder, width, pooling);
  }

  /** Runs texts together, on the thread that calls it. */
  run(texts: readonly (readonly number[])[], tokenStates: boolean): Encoded[] {
    const lengths = Uint32Array.from(texts, (ids) => ids.length);
    const { last, early } = this.#encoder.run(Uint32Array.from(texts.flat()), lengths, tokenStates);
    let begin = 0;
    return texts.map(({ length }) => {
      const end = begin + length * this.#width;
      const vector = pool(last.subarray(begin, end), this.#width, this.#pooling);
      const encoded = { vector, tokenStates: early?.slice(begin, end) ?? null };
      begin = end;
      return encoded;
    });
  }
}
