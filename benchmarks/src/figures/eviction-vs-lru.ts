import { comparePolicies, OURS } from '../simulation/policies.ts';
import { WORKLOADS } from '../simulation/workloads.ts';
import { formatSpread, spread } from '../statistics.ts';
import type { Figure } from './figure.ts';

const SEEDS = 5;

export const evictionVsLru: Figure = {
  name: 'eviction-vs-lru',
  description:
    'mean time to the first token ÷ that of evicting what was used least recently, simulated mixed trace, a third of the wanted pages',
  must: '<=',
  bound: 0.9,
  async measure({ rounds = SEEDS }) {
    const ratios: number[] = [];
    const details: string[] = [];
    for (let seed = 1; seed <= rounds; seed++) {
      const { results, wantedPages, pageCount } = comparePolicies(WORKLOADS.mixed, seed);
      const times = results.map(({ policy, firstToken }) => `${policy} ${firstToken.meanMs.toFixed(0)} ms`);
      details.push(`seed ${seed}, ${pageCount} of ${wantedPages} pages: ${times.join(', ')}`);
      for (const { policy, ratio } of results) if (policy === OURS) ratios.push(ratio);
    }
    const ratio = spread(ratios);
    return { value: ratio.median, details: [...details, `ratio: ${formatSpread(ratio, 2)}`] };
  },
};
