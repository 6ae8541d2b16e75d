import { execFile } from 'node:child_process';

const NODE = [20, 19];
/** What the `ort` crate asks for. */
const RUST = [1, 92];

/** Prerequisites are missing; `sentences` says for each one what to install. */
export class PrerequisitesMissing extends Error {
  /** @param {readonly string[]} sentences */
  constructor(sentences) {
    super(sentences.join('\n'));
    this.sentences = sentences;
  }
}

/**
 * Checks everything that set-up needs from outside npm and Cargo.
 * @throws {PrerequisitesMissing} naming all that is missing, not only the first
 */
export async function checkPrerequisites() {
  const found = await Promise.all([checkNode(), checkRust(), checkLinker(), checkPython()]);
  const sentences = found.filter((sentence) => sentence !== null);
  if (sentences.length > 0) throw new PrerequisitesMissing(sentences);
}

function checkNode() {
  if (atLeast(process.versions.node, NODE)) return null;
  return `Node.js ${NODE.join('.')} or newer is needed, and this is ${process.versions.node}: install it from https://nodejs.org.`;
}

async function checkRust() {
  const tools = ['cargo', 'rustc'];
  const versions = await Promise.all(tools.map((tool) => output(tool, ['--version'])));
  const wanted = `Rust ${RUST.join('.')} or newer is needed`;
  const absent = tools.filter((_, index) => versions[index] === null);
  if (absent.length > 0) {
    const verb = absent.length > 1 ? 'were' : 'was';
    return `${wanted}, and \`${absent.join('` and `')}\` ${verb} not found: install it from https://rustup.rs.`;
  }
  const old = versions.find((version) => version !== null && !atLeast(version, RUST));
  return old == null ? null : `${wanted}, and this is ${old.trim()}: run \`rustup update stable\`.`;
}

/** Rust links with the system's C compiler, except on Windows, where rustup sees to it. */
async function checkLinker() {
  if (process.platform === 'win32' || (await output('cc', ['--version'])) !== null) return null;
  const how =
    process.platform === 'darwin'
      ? 'run `xcode-select --install`'
      : 'install `gcc` (Debian: `build-essential`)';
  return `A C compiler is needed to link the Rust code, and \`cc\` was not found: ${how}.`;
}

async function checkPython() {
  if ((await output('python3', ['--version'])) === null) {
    return 'Python 3 with pip is needed to download the default model, and `python3` was not found: install it from https://www.python.org (Debian: `python3-pip`).';
  }
  if ((await output('python3', ['-m', 'pip', '--version'])) !== null) return null;
  return "Python's pip is needed to download the default model, and `python3 -m pip` does not run: install it (Debian: `python3-pip`) or run `python3 -m ensurepip`.";
}

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @returns {Promise<string | null>} standard output, or null where the command is missing or fails
 */
function output(command, args) {
  return new Promise((resolve) => {
    execFile(command, args, (error, stdout) => resolve(error === null ? stdout : null));
  });
}

/**
 * @param {string} text holds a version such as 1.92.0
 * @param {readonly number[]} wanted major and minor
 */
function atLeast(text, [wantedMajor = 0, wantedMinor = 0]) {
  const match = /(\d+)\.(\d+)/.exec(text);
  const [major, minor] = [Number(match?.[1] ?? -1), Number(match?.[2] ?? -1)];
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}
