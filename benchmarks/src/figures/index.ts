import { adapters16x16, adapters16x16PromptHeavy } from './adapters-16x16.ts';
import { adapters16LimitShare, adapters16StepCost, adapters16StepCostInt8 } from './adapters16-step-cost.ts';
import { adapters16VsLlama, adapters16VsLlamaBase, adapters16VsVllm } from './adapters16-vs-peers.ts';
import { adapters2000Uniform, adapters2000Vs5 } from './adapters2000.ts';
import { cacheAdaptive } from './cache-adaptive.ts';
import { cacheBreakEven } from './cache-break-even.ts';
import { cacheExact } from './cache-exact.ts';
import { cacheIsolation } from './cache-isolation.ts';
import { cacheMiss, cacheMissP99, cacheSearch } from './cache-miss.ts';
import { cacheQuality } from './cache-quality.ts';
import { cacheRecall } from './cache-recall.ts';
import { cacheVsGptcache } from './cache-vs-gptcache.ts';
import { dashboardSize } from './dashboard-size.ts';
import { deltaCompression } from './delta-compression.ts';
import { evictionVsLru } from './eviction-vs-lru.ts';
import { fairness } from './fairness.ts';
import type { Figure } from './figure.ts';
import { gatewayOverhead } from './gateway-overhead.ts';
import { gatewayThroughput } from './gateway-throughput.ts';
import { gatewayVsPeers } from './gateway-vs-peers.ts';
import { grammarCost, grammarMaskTime } from './grammar-cost.ts';
import { linearVsMatMulNBits, linearVsMatMulNBits512 } from './linear-vs-matmulnbits.ts';
import { metricsCost } from './metrics-cost.ts';
import { overload } from './overload.ts';
import { greedyF32, parityF32, parityInt8, parityKvInt8 } from './parity.ts';
import { prefillVsLlama } from './prefill-vs-llama.ts';
import { prefixReuse } from './prefix-reuse.ts';
import { pushToToken } from './push-to-token.ts';
import { residentMemoryFigure } from './resident-memory.ts';
import { schedulerTime } from './scheduler-time.ts';
import { secondStart } from './second-start.ts';
import { soak } from './soak.ts';
import { speculation } from './speculation.ts';
import { stall } from './stall.ts';
import { stepOverhead } from './step-overhead.ts';
import { storeScale } from './store-scale.ts';
import { stream1VsLlama } from './stream1-vs-llama.ts';
import { unifiedVsSplit } from './unified-vs-split.ts';

/** Everything that the project promises as a number. */
export const FIGURES: readonly Figure[] = [
  adapters16VsLlama,
  adapters16VsLlamaBase,
  adapters16VsVllm,
  prefillVsLlama,
  stream1VsLlama,
  adapters16StepCost,
  adapters16StepCostInt8,
  adapters16LimitShare,
  linearVsMatMulNBits,
  linearVsMatMulNBits512,
  residentMemoryFigure,
  stepOverhead,
  adapters16x16,
  adapters16x16PromptHeavy,
  secondStart,
  evictionVsLru,
  schedulerTime,
  parityInt8,
  parityF32,
  parityKvInt8,
  greedyF32,
  adapters2000Vs5,
  adapters2000Uniform,
  unifiedVsSplit,
  prefixReuse,
  stall,
  fairness,
  pushToToken,
  storeScale,
  deltaCompression,
  gatewayOverhead,
  gatewayThroughput,
  grammarCost,
  grammarMaskTime,
  gatewayVsPeers,
  overload,
  soak,
  speculation,
  cacheMiss,
  cacheMissP99,
  cacheSearch,
  cacheExact,
  cacheRecall,
  cacheBreakEven,
  cacheQuality,
  cacheAdaptive,
  cacheIsolation,
  cacheVsGptcache,
  metricsCost,
  dashboardSize,
];
