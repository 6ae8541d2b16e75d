import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { Pooling } from './encoder.ts';
import { INPUT, OUTPUT, TOKEN_OUTPUT } from './encoder-graph.ts';
import { pool } from './pooling.ts';

/** Errors only: ONNX Runtime writes warnings to standard error. */
const LOG_ERRORS = 3;

/** What came of one text. */
export interface Encoded {
  readonly vector: Float32Array;
  /** null where they were not asked for. */
  readonly tokenStates: Float32Array | null;
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
  async run(texts: readonly (readonly number[])[], tokenStates: boolean): Promise<Encoded[]> {
    const length = texts[0]!.length;
    const ids = new BigInt64Array(texts.length * length);
    for (const [text, tokens] of texts.entries()) {
      for (const [index, id] of tokens.entries()) ids[text * length + index] = BigInt(id);
    }
    const output = await this.#session.run(
      { [INPUT]: new Tensor('int64', ids, [texts.length, length]) },
      tokenStates ? [OUTPUT, TOKEN_OUTPUT] : [OUTPUT],
    );
    const last = output[OUTPUT]!.data as Float32Array;
    const early = (output[TOKEN_OUTPUT]?.data ?? null) as Float32Array | null;
    const size = length * this.#width;
    return texts.map((_, text) => {
      const [begin, end] = [text * size, (text + 1) * size];
      return {
        vector: pool(last.subarray(begin, end), this.#width, this.#pooling),
        tokenStates: early?.slice(begin, end) ?? null,
      };
    });
  }

  async close(): Promise<void> {
    await this.#session.release();
  }
}
