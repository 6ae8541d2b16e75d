// `npm run bench:simulation [-- --seeds N] [--requests N] [--workloads mixed,bursty]`: the scheduler under each eviction
// policy, on traces of requests and a virtual clock.
import { parseArgs } from 'node:util';
import { writeReport } from './report.ts';
import { comparePolicies } from './simulation/policies.ts';
import { simulationReportLines, type WorkloadResult } from './simulation/simulation-report.ts';
import { WORKLOADS, type Workload } from './simulation/workloads.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '3' },
    requests: { type: 'string', default: '6000' },
    workloads: { type: 'string', default: Object.keys(WORKLOADS).join(',') },
  },
});
const [seeds, requests] = [Number(values.seeds), Number(values.requests)];
const results: WorkloadResult[] = values.workloads.split(',').map((workload) => {
  const options = WORKLOADS[workload as Workload];
  if (options === undefined) {
    throw new Error(
      `there is no workload called ${workload}; these are: ${Object.keys(WORKLOADS).join(', ')}`,
    );
  }
  const comparisons = Array.from({ length: seeds }, (_, index) => {
    const began = performance.now();
    const comparison = comparePolicies({ ...options, requests }, index + 1);
    const seconds = (performance.now() - began) / 1000;
    const ratios = comparison.results.map(({ ratio }) => ratio.toFixed(2)).join(', ');
    console.error(`${workload}, seed ${index + 1}: ${ratios} (${seconds.toFixed(1)} s)`);
    return comparison;
  });
  return { workload, comparisons };
});
writeReport('simulation', 'The scheduler on traces', simulationReportLines(results, requests), {
  requests,
  results,
});
