import { formatSpread, spread } from '../statistics.ts';
import type { Comparison, PolicyResult } from './policies.ts';

/** What one workload gave, a comparison for each seed. */
export interface WorkloadResult {
  readonly workload: string;
  readonly comparisons: readonly Comparison[];
}

/** The Markdown of `npm run bench:simulation`. */
export function simulationReportLines(results: readonly WorkloadResult[], requests: number): string[] {
  const seeds = results[0]?.comparisons.length ?? 0;
  return [
    `The scheduler itself, driven by traces and a clock that measured costs advance (\`benchmarks/src/simulation/truth.ts\` says which`,
    `figure each is from): nothing here depends on how fast this machine is. ${requests} requests each, ${seeds} seeds; median (least to`,
    'most) of the seeds. The pool holds a third of the pages that the trace wants: those that will be used again, on average over time.',
    'Ratios are of the mean time to the first token, on the same trace.',
    '',
    ...results.flatMap(section),
  ];
}

function section({ workload, comparisons }: WorkloadResult): string[] {
  const policies = comparisons[0]?.results.map(({ policy }) => policy) ?? [];
  const pool = spread(comparisons.map(({ pageCount }) => pageCount));
  return [
    `## ${workload}`,
    `Pool: ${formatSpread(pool)} pages.`,
    '',
    '| policy | mean ms to the first token | ÷ least recently used | 95 % within ms | slowest tenant’s mean ÷ fastest’s | prompt tokens found | computed again | adapters read, GB | preemptions | output tok/s | busy |',
    '| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |',
    ...policies.map((policy, index) =>
      row(
        policy,
        comparisons.flatMap(({ results }) => results[index] ?? []),
      ),
    ),
    '',
  ];
}

const PAGE_BYTES = 360 * 1024;

function row(policy: string, results: readonly PolicyResult[]): string {
  const cell = (of: (result: PolicyResult) => number, digits = 0) =>
    formatSpread(spread(results.map(of)), digits);
  const cells = [
    policy,
    cell(({ firstToken }) => firstToken.meanMs),
    cell(({ ratio }) => ratio, 2),
    cell(({ firstToken }) => firstToken.percentile95Ms),
    cell(({ tenants }) => {
      const means = spread(tenants.map(({ meanMs }) => meanMs));
      return means.most / means.least;
    }, 2),
    `${cell(({ cachedShare }) => cachedShare * 100)} %`,
    cell(({ recomputedTokens }) => recomputedTokens),
    cell(({ adapterPagesRead }) => (adapterPagesRead * PAGE_BYTES) / 1e9, 1),
    cell(({ preemptions }) => preemptions),
    cell((result) => result.outputRate, 1),
    `${cell(({ busyShare }) => busyShare * 100)} %`,
  ];
  return `| ${cells.join(' | ')} |`;
}
