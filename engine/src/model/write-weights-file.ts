import { open } from 'node:fs/promises';
import { writeWeights } from '@polylora/engine-native';
import { EngineError } from '../types.ts';
import type { ModelGraph } from './graph-writer.ts';
import type { OnProgress } from './progress.ts';

/**
 * Writes a graph's weights, which the addon reads from where they are stored.
 * @param output a file that is not there yet
 * @throws EngineError `model_corrupt` where the weights cannot be read, or are not finite
 */
export async function writeWeightsFile(
  output: string,
  { jobs, weightsBytes }: ModelGraph,
  label: string,
  onProgress?: OnProgress,
): Promise<void> {
  const handle = await open(output, 'wx');
  try {
    await handle.truncate(weightsBytes);
    for (const [i, job] of jobs.entries()) {
      onProgress?.({ stage: 'quantize', label, done: job.offset, total: weightsBytes });
      await writeWeights({ ...job, sources: [...job.sources], output }).catch((error: unknown) => {
        throw asEngineError(error);
      });
      if (i === jobs.length - 1) {
        onProgress?.({ stage: 'quantize', label, done: weightsBytes, total: weightsBytes });
      }
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The addon says `InvalidArg` where the weights themselves are at fault. */
function asEngineError(error: unknown): unknown {
  if (error instanceof Error && 'code' in error && error.code === 'InvalidArg') {
    return new EngineError('model_corrupt', error.message, { cause: error });
  }
  return error;
}
