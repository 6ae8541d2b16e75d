import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './gateway-process.ts';

/** Where a measurement was made: without it, its numbers say little. */
interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly node: string;
  readonly commit: string;
  readonly date: string;
}

/** Writes `benchmarks/results/<name>.json` and `.md`, and prints the latter. */
export function writeReport(name: string, title: string, table: readonly string[], data: object): void {
  const machine = thisMachine();
  const folder = join(ROOT, 'benchmarks', 'results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify({ ...data, machine }, null, 2)}\n`);
  const text = [
    `# ${title}`,
    ...table,
    '',
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB; Node ${machine.node}; commit ${machine.commit}, ${machine.date}.`,
    '',
  ].join('\n');
  writeFileSync(join(folder, `${name}.md`), text);
  console.log(text);
}

function thisMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown CPU',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
    commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: ROOT, encoding: 'utf8' }).trim(),
    date: new Date().toISOString().slice(0, 10),
  };
}
