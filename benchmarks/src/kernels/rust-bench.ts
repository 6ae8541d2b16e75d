import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ortLibrary } from '../../../engine/dist/ort-library.js';
import { run } from '../command.ts';
import { ROOT } from '../paths.ts';
import { writeMatMulNBitsGraph } from './matmul-nbits-graph.ts';

const MANIFEST = join(ROOT, 'engine', 'native', 'Cargo.toml');

/** What the kernels ran on. */
export interface KernelMachine {
  readonly type: 'machine';
  /** The kernels' instruction set. */
  readonly variant: string;
  readonly threads: number;
  /** Whose rate is the limit of 8-bit products; null where none is known. */
  readonly int8Instruction: string | null;
  readonly floatInstruction: string | null;
  readonly limits: Limits;
}

/** Per second, all threads together; null where it is not known how to reach it on this processor. */
export type Limits = Amounts<number | null>;

/** Bytes from memory, 8-bit multiply-accumulates, float multiplications with an addition: amounts, or per second. */
export interface Amounts<Rate = number> {
  readonly bytes: number;
  readonly int8: Rate;
  readonly float: Rate;
}

export interface Part extends Amounts {
  readonly name: string;
  readonly seconds: number;
}

/** One round of one case, as the Rust program prints it. */
export interface KernelRound {
  readonly type: 'round';
  readonly kernel: string;
  readonly case: string;
  readonly round: number;
  /** Per second, measured in the same round. */
  readonly limits: Limits;
  readonly sides: readonly { readonly name: string; readonly parts: readonly Part[] }[];
}

export interface KernelRounds {
  readonly machine: KernelMachine;
  readonly rounds: readonly KernelRound[];
}

/** Cases that are prepared together. */
export const KERNEL_GROUPS = ['linear', 'adapters', 'attention', 'dense', 'sampling'] as const;

/** Builds the Rust program that measures the kernels, and runs it on some groups of cases. */
export async function runKernels(
  groups: readonly string[],
  threads: number,
  rounds: number,
): Promise<KernelRounds> {
  const folder = mkdtempSync(join(tmpdir(), 'polylora-kernels-'));
  try {
    const graph = groups.includes('linear') ? ['--matmul-nbits', writeMatMulNBitsGraph(folder)] : [];
    const options = ['--threads', threads, '--rounds', rounds, '--ort-library', ortLibrary()].map(String);
    return await runRust([...options, ...graph, ...groups]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What this machine can do at most with so many threads. */
export async function measureLimits(threads: number): Promise<Limits> {
  const { machine } = await runRust(['--threads', String(threads), '--rounds', '1', 'limits']);
  return machine.limits;
}

async function runRust(args: readonly string[]): Promise<KernelRounds> {
  const cargo = ['run', '--release', '--manifest-path', MANIFEST, '--package', 'polylora-bench', '--'];
  const output = await run('cargo', [...cargo, ...args], {
    cwd: ROOT,
    onLine: (line) => {
      if (!line.startsWith('{')) console.error(line);
    },
  });
  const lines = output.trim().split('\n');
  const [machine, ...measured] = lines.map((line) => JSON.parse(line) as KernelMachine | KernelRound);
  if (machine?.type !== 'machine') throw new Error(`polylora-bench began with ${lines[0]}`);
  return { machine, rounds: measured.filter((line) => line.type === 'round') };
}
