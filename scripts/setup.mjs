// Makes a fresh clone ready to run: npm packages, native addon, compiled TypeScript. Nothing is installed
// when this runs, so it uses Node alone. Each step is skipped while its inputs are those it last ran for.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withLock } from './lock.mjs';
import { CLI, DASHBOARD, NATIVE_PACKAGE, ROOT, RUST_WORKSPACE, SETUP_CACHE } from './paths.mjs';
import { checkPrerequisites, PrerequisitesMissing } from './prerequisites.mjs';
import { CommandFailed, npm, runOrFail } from './run.mjs';
import { digestOf, filesUnder, isCurrent, recordStamp } from './stamp.mjs';

const LOCK = join(ROOT, 'package-lock.json');
/** The name of the installation's stamp. */
const PACKAGES = 'packages';
const NATIVE_OUTPUTS = ['polylora.node', 'index.d.ts'];

/**
 * @typedef {object} Step
 * @property {string} title what a person sees while it runs
 * @property {() => boolean} isDone
 * @property {() => Promise<void>} run
 */

/** @type {readonly Step[]} */
const STEPS = [
  { title: 'Installing npm packages', isDone: packagesInstalled, run: installPackages },
  stampedStep({
    name: 'native',
    title: 'Building the native addon (some minutes the first time)',
    inputs: nativeInputs,
    outputs: NATIVE_OUTPUTS.map((file) => join(NATIVE_PACKAGE, file)),
    run: buildNative,
  }),
  stampedStep({
    name: 'typescript',
    title: 'Compiling TypeScript',
    inputs: typescriptInputs,
    outputs: [
      CLI,
      ...['engine', 'engine/safetensors', 'adapters-store'].map((name) =>
        join(ROOT, name, 'dist', 'index.js'),
      ),
    ],
    run: compileTypescript,
  }),
  stampedStep({
    name: 'dashboard',
    title: 'Building the dashboard',
    inputs: dashboardInputs,
    outputs: [join(DASHBOARD, 'dist', 'index.html')],
    run: buildDashboard,
  }),
];

/**
 * Runs the steps whose inputs have changed. Two set-ups at once take turns, and the second finds all done.
 * Ends the process with a plain message where something is missing or fails.
 */
export async function setUp() {
  if (STEPS.every((step) => step.isDone())) return;
  try {
    await checkPrerequisites();
    await withLock(join(SETUP_CACHE, 'lock'), runSteps, (owner) =>
      say(`Waiting for another set-up (process ${owner}) to finish.`),
    );
  } catch (error) {
    if (error instanceof PrerequisitesMissing) {
      say(
        ['Polylora cannot be set up yet:', ...error.sentences.map((sentence) => `- ${sentence}`)].join('\n'),
      );
    } else if (error instanceof CommandFailed) {
      say(`Set-up stopped: ${error.message}. The lines above say why; run the same command again to go on.`);
    } else {
      throw error;
    }
    process.exit(1);
  }
}

async function runSteps() {
  for (const [index, step] of STEPS.entries()) {
    if (step.isDone()) continue;
    const label = `[${index + 1}/${STEPS.length}] ${step.title}`;
    say(`${label} …`);
    const started = performance.now();
    await step.run();
    say(`${label}: done in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  }
}

/**
 * A step that is done while a digest of its inputs is unchanged and its outputs exist.
 * @param {{ name: string, title: string, inputs: () => string[], outputs: readonly string[], run: () => Promise<void> }} step
 * @returns {Step}
 */
function stampedStep({ name, title, inputs, outputs, run }) {
  return {
    title,
    isDone: () => isCurrent(name, digestOf(inputs()), outputs),
    run: async () => {
      // Taken before the step runs: what changes while it runs is built again next time.
      const digest = digestOf(inputs());
      await run();
      recordStamp(name, digest);
    },
  };
}

/** npm keeps beside the packages a copy of the lock that it installed; it must agree with ours. */
function packagesInstalled() {
  const record = join(ROOT, 'node_modules', '.package-lock.json');
  if (!existsSync(record)) return false;
  const installed = readJson(record).packages;
  const wanted = Object.entries(readJson(LOCK).packages);
  const isTried = isCurrent(PACKAGES, digestOf([LOCK]), []);
  return wanted.every(([path, entry]) => {
    if (!path.startsWith('node_modules/')) return true;
    const found = installed[path];
    if (found !== undefined) return found.integrity === entry.integrity;
    // Optional packages are those of other platforms, and what could not be installed: that is tried once.
    return entry.optional === true && isTried;
  });
}

/**
 * Installs what package-lock.json says and leaves it as it is. Not `npm ci`: that refuses a lock without every
 * platform's optional packages, and some registry mirrors hold those of one platform only.
 */
async function installPackages() {
  const { command, args } = npm();
  const digest = digestOf([LOCK]);
  await runOrFail(command, [...args, 'install', '--no-save']);
  recordStamp(PACKAGES, digest);
}

/** Sources of the addon: what only benchmarks build is none. */
function nativeInputs() {
  const sources = ['kernels', 'grammar', 'node'].flatMap((crate) =>
    filesUnder(join(RUST_WORKSPACE, crate), (name) => name.endsWith('.rs') || name === 'Cargo.toml'),
  );
  return [join(RUST_WORKSPACE, 'Cargo.toml'), join(RUST_WORKSPACE, 'Cargo.lock'), ...sources];
}

/** Builds into a folder of its own and moves the result in place, so that a running engine keeps its file. */
async function buildNative() {
  const output = join(SETUP_CACHE, 'native');
  rmSync(output, { recursive: true, force: true });
  mkdirSync(output, { recursive: true });
  const cli = join(ROOT, 'node_modules', '@napi-rs', 'cli', 'dist', 'cli.js');
  const flags = ['--release', '--no-js', '--dts', 'index.d.ts', '--output-dir', output];
  await runOrFail(process.execPath, [cli, 'build', ...flags], { cwd: NATIVE_PACKAGE });
  for (const file of NATIVE_OUTPUTS) renameSync(join(output, file), join(NATIVE_PACKAGE, file));
}

function typescriptInputs() {
  const packages = ['engine', 'adapters-store', 'gateway', 'dashboards'].flatMap((name) =>
    filesUnder(
      join(ROOT, name),
      (file) => /(?<!\.test)\.tsx?$/.test(file) || /^(package|tsconfig)\.json$/.test(file),
    ),
  );
  return [join(ROOT, 'tsconfig.json'), join(ROOT, 'tsconfig.base.json'), LOCK, ...packages];
}

async function compileTypescript() {
  await runOrFail(process.execPath, [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-b']);
}

function dashboardInputs() {
  return [LOCK, ...filesUnder(DASHBOARD, (file) => !/\.test\.ts$|^tsconfig|\.md$/.test(file))];
}

async function buildDashboard() {
  const cli = join(ROOT, 'node_modules', 'vite', 'bin', 'vite.js');
  await runOrFail(process.execPath, [cli, 'build', '--logLevel', 'warn'], { cwd: DASHBOARD });
}

/**
 * @param {string} path
 * @returns {{ packages: Record<string, { integrity?: string, optional?: boolean }> }}
 */
function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}

/** @param {string} line */
function say(line) {
  process.stderr.write(`${line}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await setUp();
