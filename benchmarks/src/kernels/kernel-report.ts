import { formatSpread, type Spread, spread } from '../statistics.ts';
import { groupBy, type KernelCase, type KernelPart, type KernelSide } from './kernel-summary.ts';
import type { KernelMachine, KernelRound } from './rust-bench.ts';

const LIMIT_NAMES = { bytes: 'memory', int8: '8-bit products', float: 'float products' } as const;

/** The Markdown of `npm run bench:kernels`. */
export function kernelReportLines(
  machine: KernelMachine,
  rounds: readonly KernelRound[],
  cases: readonly KernelCase[],
): string[] {
  const kernels = groupBy(cases, ({ kernel }) => kernel);
  return [
    `Each kernel on ${machine.threads} threads, variant ${machine.variant}, on the shapes of SmolLM2-135M: all its layers one after`,
    'the other, each with weights (or pages) of its own, so that no cache holds them. Median (least to most) of the rounds.',
    'The share is the least time that the limit allows ÷ the time taken; both are measured in the same round:',
    '',
    ...limitLines(machine, rounds),
    '',
    ...[...kernels].flatMap(([kernel, ofKernel]) => section(kernel, ofKernel)),
  ];
}

function limitLines(machine: KernelMachine, rounds: readonly KernelRound[]): string[] {
  const line = (limit: keyof typeof LIMIT_NAMES, unit: string, how: string | null) => {
    const rates = rounds.flatMap(({ limits }) => limits[limit] ?? []);
    if (rates.length === 0) return [];
    return [`- ${LIMIT_NAMES[limit]}: ${formatSpread(scaled(spread(rates), 1e-9), 1)} ${unit} (${how})`];
  };
  return [
    ...line('bytes', 'GB/s', 'read, each thread a buffer of its own'),
    ...line('int8', '10⁹ multiply-accumulates a second', machine.int8Instruction),
    ...line('float', '10⁹ multiplications with an addition a second', machine.floatInstruction),
  ];
}

function section(kernel: string, cases: readonly KernelCase[]): string[] {
  return [
    `## ${kernel}`,
    '| case | side | part | ms | limit | share of the limit | time ÷ first side’s |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...cases.flatMap((ofKernel) => ofKernel.sides.flatMap((side, index) => rows(ofKernel, side, index))),
    '',
    ...cases.flatMap(({ sides }) => sides.flatMap(addedLines)),
  ];
}

function rows({ name, sides }: KernelCase, side: KernelSide, index: number): string[] {
  return side.parts.map((part) => {
    const compared = index > 0 && part.name === 'all' && sides.length > 1;
    const ratio = compared ? formatSpread(side.timesFirst, 2) : '';
    return `| ${[name, side.name, part.name, milliseconds(part), ...share(part), ratio].join(' | ')} |`;
  });
}

function addedLines({ name, shareOfAdded }: KernelSide): string[] {
  if (shareOfAdded === null) return [];
  const share = formatSpread(scaled(shareOfAdded, 100));
  return [`${name}: reading them takes at least ${share} % of the time that they add.`, ''];
}

function milliseconds({ seconds }: KernelPart): string {
  return formatSpread(scaled(seconds, 1000), 3);
}

function share({ limit, shareOfLimit }: KernelPart): [string, string] {
  if (limit === null || shareOfLimit === null) return ['', ''];
  return [LIMIT_NAMES[limit], `${formatSpread(scaled(shareOfLimit, 100))} %`];
}

function scaled({ median, least, most }: Spread, factor: number): Spread {
  return { median: median * factor, least: least * factor, most: most * factor };
}
