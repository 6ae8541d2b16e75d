import { totalmem } from 'node:os';
import { z } from 'zod';
import { LORA_DTYPES } from './memory/adapter-layout.ts';
import { pageBytes } from './model-runner.ts';
import { BLOCK_TOKENS, blocksFor } from './scheduling/sequence.ts';
import { SPECULATION } from './scheduling/speculation.ts';
import { EngineError, type ModelInfo } from './types.ts';

/** What the engine needs to know to start. Checked where it is used: whoever calls has its own schema. */
export const EngineOptions = z.strictObject({
  /** A directory, a `.gguf` file, a hub id, or the default model's name. */
  model: z.string().min(1),
  /** Cache directory for fetched and prepared models. */
  home: z.string().min(1),
  /** For gated and private models on the Hugging Face hub; null: none. */
  hubToken: z.string().min(1).nullable(),
  weights: z.enum(['int8', 'f32']),
  /** How adapters are kept in memory. */
  loraDtype: z.enum(LORA_DTYPES),
  /** What keys and values are kept as: half floats, or eight bits with a scale for each token and head. */
  kvCacheDtype: z.enum(['f16', 'int8']),
  /** null: as many as the machine has. */
  threads: z.number().int().min(1).max(1024).nullable(),
  /** null: the model's own context length, as far as the pool holds it. */
  maxModelLen: z.number().int().min(1).nullable(),
  /** Memory for KV blocks and adapters together; null: a quarter of the machine's, at most 4 GiB. */
  poolBytes: z.number().int().min(1).nullable(),
  /** The most tokens one step computes. */
  maxBatchTokens: z.number().int().min(1),
  /** The most sequences that run at once. */
  maxRunning: z.number().int().min(1),
  /** Distinct adapters in a batch beyond which others wait a second; null: no limit. */
  maxBatchAdapters: z.number().int().min(1).nullable(),
  /** Milliseconds between a stream's tokens that prompts read beside it keep; null: twice those of decoding alone, but at least 50. */
  tpotTargetMs: z.number().positive().nullable(),
  /** Share of the pool for adapters alone, the rest for KV blocks alone: a yardstick. null: one pool for both. */
  adapterPoolShare: z.number().min(0).max(1).nullable(),
  /** Who finds a prompt's beginning computed: its tenant, for the base model every tenant, or nobody. */
  prefixCache: z.enum(['tenant', 'shared', 'off']),
  /** Whether next tokens are guessed from what a sequence has already, and computed ahead. */
  speculation: z.enum(SPECULATION),
});
export type EngineOptions = z.infer<typeof EngineOptions>;

const MOST_POOL_BYTES = 4 * 2 ** 30;

/**
 * How many pages the pool has, and the longest context that it can hold.
 *
 * @throws EngineError `engine_unavailable` when the pool cannot hold the context length asked for.
 */
export function planPool(
  info: ModelInfo,
  options: EngineOptions,
): { pageCount: number; maxModelLen: number } {
  const bytes = options.poolBytes ?? Math.min(MOST_POOL_BYTES, Math.floor(memoryBytes() / 4));
  const perPage = pageBytes(info, options.kvCacheDtype);
  const pageCount = Math.floor(bytes / perPage);
  const needed = blocksFor(info.maxModelLen);
  if (needed <= pageCount) return { pageCount, maxModelLen: info.maxModelLen };
  if (options.maxModelLen === null && pageCount > 0) {
    return { pageCount, maxModelLen: pageCount * BLOCK_TOKENS };
  }
  throw new EngineError(
    'engine_unavailable',
    `a context of ${info.maxModelLen} tokens needs ${needed} pages of ${perPage} bytes; ` +
      `the pool of ${bytes} bytes has ${pageCount}. Enlarge the pool or lower the maximum model length`,
  );
}

/** What this process may use: the machine's memory, or what its container is given of it. */
function memoryBytes(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(totalmem(), limit) : totalmem();
}
