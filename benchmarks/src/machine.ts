import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { ROOT } from './paths.ts';

/** Instructions that decide how fast the kernels are, as /proc/cpuinfo names them on x86 and Arm. */
const NOTABLE_FEATURES = [
  'avx2',
  'fma',
  'f16c',
  'avx_vnni',
  'avx512f',
  'avx512_vnni',
  'avx512_bf16',
  'amx_int8',
  'asimddp',
  'i8mm',
  'sve',
];

/** Where a measurement was made: without it, its numbers say little. */
export interface Machine {
  readonly cpu: string;
  /** Those of the notable ones that it has; none where the platform does not tell. */
  readonly features: readonly string[];
  readonly cores: number;
  readonly memoryGiB: number;
  readonly node: string;
  readonly commit: string;
  readonly date: string;
}

export function thisMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown CPU',
    features: cpuFeatures(),
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
    commit: execFileSync('git', ['describe', '--always', '--dirty'], { cwd: ROOT, encoding: 'utf8' }).trim(),
    date: new Date().toISOString().slice(0, 10),
  };
}

/** For example `AMD EPYC (avx2, fma), 2 cores, 24 GiB; Node 20.20.2; commit 9b8ce8a, 2026-11-21.` */
export function formatMachine({ cpu, features, cores, memoryGiB, node, commit, date }: Machine): string {
  const has = features.length === 0 ? '' : ` (${features.join(', ')})`;
  return `${cpu}${has}, ${cores} cores, ${memoryGiB} GiB; Node ${node}; commit ${commit}, ${date}.`;
}

/** Those of the notable instruction sets that this CPU has; none where the platform does not tell. */
export function cpuFeatures(): string[] {
  try {
    const line = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
    const all = new Set(line.trim().split(/\s+/));
    return NOTABLE_FEATURES.filter((feature) => all.has(feature));
  } catch {
    return [];
  }
}
