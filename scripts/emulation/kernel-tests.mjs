import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { RUST_WORKSPACE } from '../paths.mjs';
import { CommandFailed } from '../run.mjs';
import { CannotInstall } from './debian-packages.mjs';

/**
 * Builds the kernels' tests as static programs, which need nothing from the system they run on.
 * @param {'x86_64' | 'aarch64'} architecture
 * @param {string} cache
 * @returns {string[]} the programs, one for the unit tests and one for each file of `tests/`
 * @throws {CannotInstall} where Rust's standard library for that target cannot be had
 * @throws {CommandFailed} where they do not compile; the compiler has said why
 */
export function buildKernelTests(architecture, cache) {
  const target = `${architecture}-unknown-linux-musl`;
  ensureTarget(target);
  const what = ['--release', '--package', 'polylora-kernels', '--lib', '--tests', '--no-run'];
  const where = ['--target', target, '--target-dir', join(cache, 'target')];
  const messages = spawnSync(
    'cargo',
    ['test', ...what, ...where, '--message-format=json-render-diagnostics'],
    {
      cwd: RUST_WORKSPACE,
      encoding: 'utf8',
      env: {
        ...process.env,
        // Comes with Rust and links for every architecture.
        [`CARGO_TARGET_${target.toUpperCase().replaceAll('-', '_')}_LINKER`]: 'rust-lld',
        CARGO_PROFILE_RELEASE_DEBUG: '0',
        CARGO_PROFILE_RELEASE_STRIP: 'symbols',
      },
      maxBuffer: 2 ** 26,
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  if (messages.status !== 0) throw new CommandFailed(`The kernels' tests do not build for ${target}`);
  return messages.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line).executable)
    .filter((executable) => typeof executable === 'string');
}

/** @param {string} target */
function ensureTarget(target) {
  const sysroot = execFileSync('rustc', ['--print', 'sysroot'], { cwd: RUST_WORKSPACE, encoding: 'utf8' });
  if (existsSync(join(sysroot.trim(), 'lib', 'rustlib', target))) return;
  try {
    execFileSync('rustup', ['target', 'add', target], { cwd: RUST_WORKSPACE, stdio: 'pipe' });
  } catch (error) {
    throw new CannotInstall(`\`rustup target add ${target}\` failed: ${error}`);
  }
}
