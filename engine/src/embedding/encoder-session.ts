import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { Pooling } from './encoder.ts';
import { INPUT, OUTPUT } from './encoder-graph.ts';
import { pool } from './pooling.ts';

/** Errors only: ONNX Runtime writes warnings to standard error. */
const LOG_ERRORS = 3;

/** What came of one text. */
export interface Encoded {
  readonly vector: Float32Array;
  readonly states: Float32Array;
}

/** An encoder's graph in ONNX Runtime. */
export class EncoderSession {
  readonly #session: InferenceSession;
  readonly #width: number;
  readonly #pooling: Pooling;

  private constructor(session: InferenceSession, width: number, pooling: Pooling) {
    this.#session = session;
    this.#width = width;
    this.#pooling = pooling;
  }

  static async open(
    encoder: { readonly graphFile: string; readonly width: number; readonly pooling: Pooling },
    threads: number,
  ): Promise<EncoderSession> {
    const session = await InferenceSession.create(encoder.graphFile, {
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: 'all',
      logSeverityLevel: LOG_ERRORS,
      // Threads that spin between operators take the engine's cores.
      extra: { session: { intra_op: { allow_spinning: '0' } } },
    });
    return new EncoderSession(session, encoder.width, encoder.pooling);
  }

  /** Runs texts that have the same number of tokens. */
  async run(texts: readonly (readonly number[])[]): Promise<Encoded[]> {
    const length = texts[0]!.length;
    const ids = new BigInt64Array(texts.length * length);
    for (const [text, tokens] of texts.entries()) {
      for (const [index, id] of tokens.entries()) ids[text * length + index] = BigInt(id);
    }
    const output = await this.#session.run({ [INPUT]: new Tensor('int64', ids, [texts.length, length]) });
    const all = output[OUTPUT]!.data as Float32Array;
    const size = length * this.#width;
    return texts.map((_, text) => {
      const states = all.slice(text * size, (text + 1) * size);
      return { vector: pool(states, this.#width, this.#pooling), states };
    });
  }

  async close(): Promise<void> {
    await this.#session.release();
  }
}
