import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { unpackDebian } from './debian-packages.mjs';

const LIMIT_MS = 30 * 60_000;

/**
 * QEMU's user mode: runs a Linux program for 64-bit Arm in a process of this system.
 * @param {string} cache
 * @returns {{ executable: string }}
 */
export function installQemuArm(cache) {
  const member = './usr/bin/qemu-aarch64'; // statically linked; the package is 465 MB with all the others
  const root = unpackDebian(join(cache, 'qemu'), {
    release: 'trixie',
    packages: ['qemu-user'],
    only: { 'qemu-user_': member },
  });
  return { executable: join(root, member) };
}

/**
 * Runs static programs one after the other on an emulated processor.
 * @param {ReturnType<typeof installQemuArm>} qemu
 * @param {{ model: string, programs: readonly string[], args: readonly string[],
 *   env: Readonly<Record<string, string>> }} job `model` as QEMU calls it; `args` go to each program
 * @returns {Promise<{ ok: boolean, output: string }>} whether each program ended with status 0, and what they printed
 */
export async function runInQemu(qemu, { model, programs, args, env }) {
  let ok = true;
  let output = '';
  for (const program of programs) {
    const result = await execute(qemu.executable, ['-cpu', model, program, ...args], env);
    ok &&= result.ok;
    output += result.output;
  }
  return { ok, output };
}

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @param {Readonly<Record<string, string>>} env
 * @returns {Promise<{ ok: boolean, output: string }>}
 */
function execute(command, args, env) {
  return new Promise((resolve) => {
    execFile(command, args, { env, maxBuffer: 2 ** 26, timeout: LIMIT_MS }, (error, stdout, stderr) => {
      const end = error === null ? '' : `\n${error.message}`;
      resolve({ ok: error === null, output: `${stdout}${stderr}${end}` });
    });
  });
}
