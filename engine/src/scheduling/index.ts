/** The scheduler by itself, for whoever drives it with a clock of their own. */
export type { AdapterLoad, ResidentAdapter } from '../memory/adapter-residency.ts';
export {
  type Evictable,
  type EvictionPolicy,
  ExpectedSaving,
  GreedyDualSizeFrequency,
  LeastRecentlyUsed,
} from '../memory/eviction.ts';
export type { PrefixBlock } from '../memory/prefix-cache.ts';
export { type Ranked, RankedQueue } from '../ranked-queue.ts';
export { CostModel } from './cost-model.ts';
export { type Schedule, Scheduler, type SchedulerOptions } from './scheduler.ts';
export { BLOCK_TOKENS, blocksFor, type ScheduledSequence, Sequence } from './sequence.ts';
