import { availableParallelism } from 'node:os';
import { basename } from 'node:path';
import { createEmbedder } from '@polylora/engine';
import type { EncoderOptions } from '../backends/encoder.ts';
import { COMPARISON_FILE, VERIFIED_MODEL } from '../cache/verification/token-verifier.ts';
import { type Config, NO_EMBEDDING_MODEL } from '../config/schema.ts';
import type { Logger } from '../logging.ts';

/**
 * The embedding model, which is loaded when it is first needed unless the configuration says otherwise; null: there is none here. Before
 * an upstream, which has its own for clients, there is one where the cache needs it.
 */
export function createEncoder(
  config: Config,
  logger: Logger,
  say: (line: string) => void,
): EncoderOptions | null {
  const { embeddingModel: model, embeddingWeights: weights } = config;
  if (model === NO_EMBEDDING_MODEL || (config.upstream !== null && config.cache !== 'semantic')) return null;
  const { home, hubToken } = config;
  const threads = Math.min(config.embeddingThreads, availableParallelism());
  // The person at the terminal waits for it at the start; later it is an event like others.
  const onProgress =
    config.embeddingStart === 'start' ? say : (line: string) => logger.info({ embeddingModel: model }, line);
  const name = encoderName(model);
  const comparison = config.cache === 'semantic' && name === VERIFIED_MODEL ? COMPARISON_FILE : null;
  const embedder = createEmbedder({ model, home, hubToken, weights, threads, comparison, onProgress });
  return { embedder, name, startedAt: Math.floor(Date.now() / 1000), logger };
}

/** What an embedding model is called by clients. @param model a directory, a hub id with or without a revision, or a name */
export function encoderName(model: string): string {
  return basename(model).replace(/@.*$/, '');
}
