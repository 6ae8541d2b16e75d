import { run } from '../command.ts';
import type { LlamaCpp } from './llama-cpp.ts';

export interface BatchedBenchOptions {
  readonly model: string;
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly threads: number;
}

/** What llama-batched-bench says of one sequence, in tokens per second. */
export interface BatchedBenchResult {
  readonly prefill: number;
  readonly decode: number;
}

interface Line {
  readonly pp: number;
  readonly tg: number;
  readonly speed_pp: number;
  readonly speed_tg: number;
}

/**
 * Measures llama.cpp in a process of its own, after its warm-up: the prompt in one batch with the logits of its last
 * token, then token after token. It takes random tokens instead of sampling, and neither tokenizes nor serves.
 */
export async function runBatchedBench(
  llamaCpp: LlamaCpp,
  { model, promptTokens, newTokens, threads }: BatchedBenchOptions,
): Promise<BatchedBenchResult> {
  const lengths = ['-npp', promptTokens, '-ntg', newTokens, '-npl', 1, '-c', promptTokens + newTokens];
  const batch = ['-b', 2048, '-ub', 512, '-t', threads, '-tb', threads];
  const args = ['-m', model, ...lengths, ...batch, '--output-format', 'jsonl'].map(String);
  const output = await run(llamaCpp['llama-batched-bench'], args);
  const line = output.split('\n').find((each) => each.startsWith('{'));
  if (line === undefined) throw new Error(`llama-batched-bench printed no result:\n${output}`);
  const { pp, tg, speed_pp, speed_tg } = JSON.parse(line) as Line;
  if (pp !== promptTokens || tg !== newTokens)
    throw new Error(`llama-batched-bench measured ${pp} + ${tg} tokens`);
  return { prefill: speed_pp, decode: speed_tg };
}
