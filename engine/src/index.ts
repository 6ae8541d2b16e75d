export { type Neighbours, VectorArena, vectorCodes } from '@polylora/engine-native';
export { createEngine } from './create-engine.ts';
export { type CompressionReport, compressFineTune } from './delta/compress.ts';
export { DeltaError } from './delta/delta-error.ts';
export { createEmbedder } from './embedding/embedder.ts';
export { readTokenComparison } from './embedding/token-comparison.ts';
export type * from './embedding/types.ts';
export { type MixturePart, mixAdapters, mixtureDigest } from './mixture.ts';
export { withFileLock } from './model/file-lock.ts';
export { defaultHome } from './model/home.ts';
export { normalized } from './normalized.ts';
export {
  type EngineProcess,
  type EngineProcessOptions,
  startEngineProcess,
} from './process/engine-process.ts';
export * from './types.ts';
