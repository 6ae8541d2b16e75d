// `node scripts/runtime-tree.mjs <folder>`: copies what a server runs from, and nothing else, into a new folder. Of a tree that
// `npm run setup` has built, and from which `npm prune --omit=dev` has taken what only building needs.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NATIVE_PACKAGE, ROOT } from './paths.mjs';

/** Of each workspace, where it is there. */
const OF_A_WORKSPACE = ['package.json', 'bin', 'data', 'dist', 'node_modules'];

const OTHERS = [
  'package.json',
  'node_modules',
  'engine/native/node/index.js',
  'engine/native/node/polylora.node',
  'gateway/src/cache/verification/weights.bin',
  'examples/adapters',
];

/** Where onnxruntime-node keeps its libraries: a folder for each platform, and in it one for each processor. */
const ORT_LIBRARIES = 'node_modules/onnxruntime-node/bin/';

/** What compilers and debuggers read. */
const FOR_DEVELOPERS = /\/dist\/.*(\.d\.ts|\.map|\.tsbuildinfo)$/;

/** What went wrong, for the person who ran this. */
class NotReady extends Error {}

/**
 * @param {string} target a folder that is not there yet, or empty
 * @throws {NotReady} where something is not built, or the folder has something in it
 */
function copyRuntime(target) {
  if (existsSync(target) && readdirSync(target).length > 0) throw new NotReady(`${target} is not empty.`);
  /** @type {{ workspaces: string[] }} */
  const { workspaces } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const native = relative(ROOT, NATIVE_PACKAGE).split(sep).join('/');
  const built = workspaces
    .filter((workspace) => workspace !== native)
    .map((workspace) => `${workspace}/dist`);
  const absent = [...OTHERS, ...built].filter((path) => !existsSync(join(ROOT, path)));
  if (absent.length > 0) throw new NotReady(`${absent.join(', ')}: not there. Run \`npm run setup\` first.`);
  const ofWorkspaces = workspaces.flatMap((workspace) =>
    OF_A_WORKSPACE.map((name) => `${workspace}/${name}`).filter((path) => existsSync(join(ROOT, path))),
  );
  for (const path of [...OTHERS, ...ofWorkspaces]) {
    mkdirSync(dirname(join(target, path)), { recursive: true });
    // Links between the workspaces are relative, and stay so.
    const filter = (/** @type {string} */ source) => isNeeded(relative(ROOT, source).split(sep).join('/'));
    cpSync(join(ROOT, path), join(target, path), { recursive: true, verbatimSymlinks: true, filter });
  }
}

/** @param {string} path below the root, with slashes */
function isNeeded(path) {
  if (path.startsWith(ORT_LIBRARIES)) {
    const [, platform, processor] = path.slice(ORT_LIBRARIES.length).split('/');
    return (
      (platform ?? process.platform) === process.platform && (processor ?? process.arch) === process.arch
    );
  }
  return path.includes('node_modules/') || !FOR_DEVELOPERS.test(path);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const [target] = process.argv.slice(2);
    if (target === undefined)
      throw new NotReady('Say into which folder: node scripts/runtime-tree.mjs <folder>');
    copyRuntime(target);
  } catch (error) {
    if (!(error instanceof NotReady)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
}
