import { readFile } from 'node:fs/promises';
import { Tokenizer } from '@polylora/engine-native';
import { EngineOptions, planPool } from './config.ts';
import { LlmEngine } from './llm-engine.ts';
import { prepareModel } from './model/prepare.ts';
import { inLines } from './model/progress.ts';
import { ModelRunner } from './model-runner.ts';
import type { Engine } from './types.ts';

/** Told what a long start is doing, a line at a time. */
export type OnProgressLine = (line: string) => void;

/**
 * Gets and prepares the model if need be, and starts an engine in this process.
 *
 * @throws EngineError when the model cannot be had or does not fit.
 */
export async function createEngine(
  options: EngineOptions & { readonly onProgress?: OnProgressLine },
): Promise<Engine> {
  const { onProgress, ...rest } = options;
  const parsed = EngineOptions.parse(rest);
  const prepared = await prepareModel({
    source: parsed.model,
    home: parsed.home,
    weights: parsed.weights,
    ...(parsed.hubToken === null ? {} : { hub: { accessToken: parsed.hubToken } }),
    ...(parsed.maxModelLen === null ? {} : { maxModelLen: parsed.maxModelLen }),
    ...(onProgress === undefined ? {} : { onProgress: inLines(onProgress) }),
  });
  const plan = planPool(prepared.info, parsed);
  const runner = await ModelRunner.open(prepared, plan.pageCount, parsed);
  const tokenizer = new Tokenizer(await readFile(prepared.tokenizerFile));
  const info = { ...prepared.info, maxModelLen: plan.maxModelLen };
  return new LlmEngine({ ...prepared, info }, runner, tokenizer, plan.pageCount, parsed);
}
