import {
  BLOCK_TOKENS,
  type EvictionPolicy,
  ExpectedSaving,
  GreedyDualSizeFrequency,
  LeastRecentlyUsed,
} from '@polylora/engine/scheduling';
import { ObservedPolicy, type Turnover } from './observed-policy.ts';
import { Simulation } from './simulation.ts';
import { type FirstToken, firstToken, outputRate } from './summary.ts';
import { makeTrace, type TraceOptions } from './trace.ts';
import { wantedPages } from './wanted-pages.ts';

/** The first is what the others are compared with. */
const POLICIES: Readonly<Record<string, () => EvictionPolicy>> = {
  'least recently used': () => new LeastRecentlyUsed(),
  'Greedy-Dual-Size-Frequency': () => new GreedyDualSizeFrequency(),
  'expected saving': () => new ExpectedSaving(),
};
export const OURS = 'expected saving';

/** Of the pages that a trace wants, so much fits the pool. */
const POOL_SHARE = 1 / 3;
/** A pool always holds the longest request beside the largest adapter. */
const LEAST_PAGES = 640;

/** What one policy made of one trace. */
export interface PolicyResult {
  readonly policy: string;
  readonly firstToken: FirstToken;
  /** Mean time to the first token ÷ that of the first policy on the same trace. */
  readonly ratio: number;
  readonly tenants: readonly FirstToken[];
  readonly cachedShare: number;
  readonly recomputedTokens: number;
  readonly adapterPagesRead: number;
  readonly preemptions: number;
  readonly outputRate: number;
  readonly busyShare: number;
  readonly turnover: { readonly adapter: Turnover; readonly prefix: Turnover };
}

export interface Comparison {
  readonly seed: number;
  readonly requests: number;
  readonly wantedPages: number;
  readonly pageCount: number;
  readonly results: readonly PolicyResult[];
}

/** Runs one trace under each policy, in a pool that holds a third of what it wants. */
export function comparePolicies(options: TraceOptions, seed: number): Comparison {
  const trace = makeTrace(options, seed);
  const wanted = wantedPages(trace);
  const pageCount = Math.max(LEAST_PAGES, Math.round(wanted * POOL_SHARE));
  const results: PolicyResult[] = [];
  for (const [name, make] of Object.entries(POLICIES)) {
    const policy = new ObservedPolicy(make());
    const result = new Simulation(trace, { pageCount, policy }).run();
    const all = firstToken(result);
    const { turnover } = policy;
    results.push({
      policy: name,
      firstToken: all,
      ratio: all.meanMs / (results[0]?.firstToken.meanMs ?? all.meanMs),
      tenants: options.tenants.map((_, tenant) => firstToken(result, tenant)),
      cachedShare: result.promptTokens.cached / result.promptTokens.total,
      recomputedTokens: turnover.prefix.back * BLOCK_TOKENS + result.preemptedRows,
      adapterPagesRead: result.adapterPagesRead,
      preemptions: result.preemptions,
      outputRate: outputRate(result),
      busyShare: result.busySeconds / result.seconds,
      turnover,
    });
  }
  return { seed, requests: trace.requests, wantedPages: wanted, pageCount, results };
}
