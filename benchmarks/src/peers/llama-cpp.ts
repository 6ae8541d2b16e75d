/**
 * llama.cpp, built from the source that the Python package llama-cpp-python brings along: a registry package with a
 * fixed version, compiled for this very CPU as its users are told to.
 */
import { rmSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { CommandMissing, run } from '../command.ts';
import { installStep } from './install-step.ts';

const PACKAGE = 'llama-cpp-python';
/** Its bundled llama.cpp is what the comparisons name. */
export const LLAMA_CPP_PACKAGE = `${PACKAGE} 0.3.36`;
const VERSION = '0.3.36';
const SOURCE_ARCHIVE = `llama_cpp_python-${VERSION}.tar.gz`;
const SOURCE_FOLDER = `llama_cpp_python-${VERSION}/vendor/llama.cpp`;

const TARGETS = ['llama-server', 'llama-batched-bench', 'llama-quantize'] as const;

/** Nothing that needs the network or a library beyond the C++ compiler's own. */
const OPTIONS = [
  '-DCMAKE_BUILD_TYPE=Release',
  '-DGGML_NATIVE=ON',
  '-DBUILD_SHARED_LIBS=OFF',
  '-DLLAMA_OPENSSL=OFF',
  '-DLLAMA_BUILD_UI=OFF',
  '-DLLAMA_USE_PREBUILT_UI=OFF',
  '-DLLAMA_BUILD_TESTS=OFF',
  '-DLLAMA_BUILD_EXAMPLES=OFF',
  '-DLLAMA_BUILD_APP=OFF',
] as const;

const PROGRESS_PERCENT = 10;

/** Paths of the built programs. */
export type LlamaCpp = Readonly<Record<(typeof TARGETS)[number], string>>;

/**
 * Builds llama.cpp, or finds it built; takes ten to twenty minutes on two cores the first time.
 * @throws Error saying which of pip, tar, cmake and a C++ compiler is missing or what failed.
 */
export async function installLlamaCpp(): Promise<LlamaCpp> {
  // What -march=native makes of a source depends on the CPU.
  const cpu = cpus()[0]?.model ?? 'unknown CPU';
  const folder = await installStep('llama.cpp', [VERSION, cpu, ...OPTIONS], async (work) => {
    await fetchSource(work).catch(nameMissing);
    await build(work).catch(nameMissing);
  });
  const program = (name: string) => join(folder, 'build', 'bin', name);
  return {
    'llama-server': program('llama-server'),
    'llama-batched-bench': program('llama-batched-bench'),
    'llama-quantize': program('llama-quantize'),
  };
}

async function fetchSource(work: string): Promise<void> {
  const logFile = join(work, 'fetch.log');
  console.error(`llama.cpp: fetching ${SOURCE_ARCHIVE} with pip`);
  const what = ['--no-deps', '--no-binary', PACKAGE, '-d', work, `${PACKAGE}==${VERSION}`];
  await run('python3', ['-m', 'pip', 'download', '--disable-pip-version-check', ...what], { logFile });
  await run('tar', ['-xzf', SOURCE_ARCHIVE, SOURCE_FOLDER], { cwd: work, logFile });
  rmSync(join(work, SOURCE_ARCHIVE));
}

async function build(work: string): Promise<void> {
  const logFile = join(work, 'build.log');
  const folder = join(work, 'build');
  console.error(`llama.cpp: building for this CPU, log in ${logFile}`);
  await run('cmake', ['-S', join(work, SOURCE_FOLDER), '-B', folder, ...OPTIONS], { logFile });
  let reported = 0;
  const onLine = (line: string) => {
    const percent = Number(/^\[ *(\d+)%\]/.exec(line)?.[1] ?? 0);
    if (percent < reported + PROGRESS_PERCENT) return;
    reported = percent;
    console.error(`llama.cpp: built ${percent} %`);
  };
  const jobs = ['--parallel', String(availableParallelism())];
  await run('cmake', ['--build', folder, ...jobs, '--target', ...TARGETS], { logFile, onLine });
}

function nameMissing(error: unknown): never {
  if (!(error instanceof CommandMissing)) throw error;
  throw new Error(
    `${error.message}; building llama.cpp needs python3 with pip, tar, cmake and a C++ compiler`,
  );
}
