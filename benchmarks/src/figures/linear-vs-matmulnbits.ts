import { secondsOf } from '../kernels/kernel-summary.ts';
import { runKernels } from '../kernels/rust-bench.ts';
import { formatSpread, ratioSpread, type Spread, spread } from '../statistics.ts';
import type { Figure } from './figure.ts';

const ROUNDS = 7;
const THREADS = 2;

export const linearVsMatMulNBits = figure('linear-vs-matmulnbits', 16, 2.5);
export const linearVsMatMulNBits512 = figure('linear-vs-matmulnbits-512', 512, 3.5);

function figure(name: string, rows: number, bound: number): Figure {
  return {
    name,
    description: `speed of QuantizedLinear ÷ ONNX Runtime's MatMulNBits (8-bit), all linear layers, ${rows} rows, two threads`,
    must: '>=',
    bound,
    async measure({ rounds = ROUNDS }) {
      const measured = await runKernels(['linear'], THREADS, rounds);
      const ofCase = measured.rounds.filter((round) => round.case === `${rows} rows`);
      const ours = secondsOf(ofCase, 'QuantizedLinear');
      const theirs = secondsOf(ofCase, 'MatMulNBits');
      const ratio = ratioSpread(theirs, ours);
      return {
        value: ratio.median,
        details: [
          `QuantizedLinear (${measured.machine.variant}): ${milliseconds(spread(ours))}`,
          `MatMulNBits: ${milliseconds(spread(theirs))}`,
          `ratio: ${formatSpread(ratio, 2)} in ${rounds} rounds`,
        ],
      };
    },
  };
}

function milliseconds({ median, least, most }: Spread): string {
  return `${formatSpread({ median: median * 1000, least: least * 1000, most: most * 1000 }, 1)} ms`;
}
