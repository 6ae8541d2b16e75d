import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { promisify } from 'node:util';
import dockerignore from '@balena/dockerignore';
import type { Stage, Step } from './dockerfile.ts';

/** Programs that change the image's system, for which this machine stands: their steps are left out. */
const OF_THE_SYSTEM = ['apt-get', 'install'];

/** What may be run. Nothing else is: a step is for a machine of its own, and this one is not. */
const OF_THE_BUILD = ['npm', 'node'];

const NOT_WORDS = /[&|;<>$`*?]/;

/** The files that Docker would send: those below a folder that its `.dockerignore` leaves. */
export function contextFiles(root: string): string[] {
  const ignored = dockerignore.default().add(readFileSync(join(root, '.dockerignore'), 'utf8'));
  const below = (folder: string): string[] =>
    readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
      const path = posix.join(folder, entry.name);
      if (ignored.ignores(path)) return [];
      return entry.isDirectory() ? below(path) : [path];
    });
  return below('');
}

export interface Build {
  /** The repository. */
  readonly context: string;
  /** Where each stage gets a folder, which is its root. */
  readonly folder: string;
}

/**
 * Runs the steps of all stages, each in a clean folder.
 * @returns the last one's folder
 * @throws where a step fails, with the end of what it said
 */
export async function buildStages(stages: readonly Stage[], build: Build): Promise<string> {
  const roots = new Map<string, string>();
  let root = '';
  for (const [index, stage] of stages.entries()) {
    root = join(build.folder, stage.name ?? String(index));
    mkdirSync(root);
    // One without steps is another's image, whose programs this machine has.
    if (stage.name !== null && stage.steps.length > 0) roots.set(stage.name, root);
    for (const step of stage.steps) await runStep(step, root, roots, build.context);
  }
  return root;
}

async function runStep(
  step: Step,
  root: string,
  roots: ReadonlyMap<string, string>,
  context: string,
): Promise<void> {
  const workdir = join(root, step.workdir);
  mkdirSync(workdir, { recursive: true });
  if (step.kind === 'run') return runWords(step.words, step.caches, root, workdir, context);
  const target = posix.isAbsolute(step.target) ? join(root, step.target) : join(workdir, step.target);
  if (step.from === null) {
    if (step.sources.join() !== '.') throw new Error('only the whole context is copied in these tests');
    for (const file of contextFiles(context)) copy(join(context, file), join(target, file));
    return;
  }
  const from = roots.get(step.from);
  if (from === undefined) return;
  for (const source of step.sources) {
    const path = join(from, source);
    copy(path, statSync(path).isDirectory() ? target : join(target, posix.basename(source)));
  }
}

function copy(source: string, target: string): void {
  mkdirSync(dirname(target), { recursive: true });
  cpSync(source, target, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
}

async function runWords(
  words: readonly string[],
  caches: readonly string[],
  root: string,
  workdir: string,
  context: string,
): Promise<void> {
  const [program = '', ...rest] = words;
  if (OF_THE_SYSTEM.includes(program)) return;
  if (!OF_THE_BUILD.includes(program) || rest.some((word) => NOT_WORDS.test(word))) {
    throw new Error(`a step that these tests do not run: ${words.join(' ')}`);
  }
  // Folders of the tree are shared with the repository; those of the system are this machine's.
  const shared = caches.filter((cache) => join(root, cache).startsWith(`${workdir}/`));
  for (const cache of shared) {
    const path = join(root, cache);
    const own = join(context, path.slice(workdir.length));
    mkdirSync(own, { recursive: true });
    mkdirSync(dirname(path), { recursive: true });
    symlinkSync(own, path);
  }
  const args = rest.map((word) => (posix.isAbsolute(word) ? join(root, word) : word));
  try {
    const env = { ...process.env, npm_config_prefer_offline: 'true' };
    await promisify(execFile)(program, args, { cwd: workdir, env, maxBuffer: 64 * 2 ** 20 });
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${words.join(' ')} failed:\n${`${stdout}${stderr}`.slice(-4_000)}`);
  } finally {
    for (const cache of shared) rmSync(join(root, cache));
  }
}

/** The variables that a stage's processes have, with its paths below the folder that is its root. */
export function environmentOf(stage: Stage, root: string): Record<string, string> {
  const inRoot = (value: string) =>
    value
      .split(':')
      .map((part) =>
        part === '$PATH' ? (process.env.PATH ?? '') : posix.isAbsolute(part) ? join(root, part) : part,
      )
      .join(':');
  return Object.fromEntries([...stage.environment].map(([name, value]) => [name, inRoot(value)]));
}
