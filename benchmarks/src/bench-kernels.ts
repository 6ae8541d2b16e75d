// `npm run bench:kernels [-- --rounds N] [--threads N] [--only linear,adapters,attention,dense,sampling]`: each kernel
// beside its limit on this machine, and QuantizedLinear beside ONNX Runtime's MatMulNBits.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { kernelReportLines } from './kernels/kernel-report.ts';
import { summarize } from './kernels/kernel-summary.ts';
import { KERNEL_GROUPS, runKernels } from './kernels/rust-bench.ts';
import { writeReport } from './report.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '11' },
    threads: { type: 'string', default: String(availableParallelism()) },
    only: { type: 'string', default: KERNEL_GROUPS.join(',') },
  },
});
const { machine, rounds } = await runKernels(
  values.only.split(','),
  Number(values.threads),
  Number(values.rounds),
);
const cases = summarize(rounds);
writeReport('kernels', 'Kernels beside their limits', kernelReportLines(machine, rounds, cases), {
  kernels: machine,
  rounds: Number(values.rounds),
  cases,
});
