import { type ModelInfo, projectionShape } from '@polylora/engine';

/** What the store's tests have adapters for: as small as a model can be. */
export const MODEL = {
  digest: 'b'.repeat(64),
  layerCount: 1,
  hiddenSize: 8,
  intermediateSize: 16,
  headCount: 2,
  kvHeadCount: 1,
  headDim: 4,
} as ModelInfo;

export const SHAPE = {
  digest: MODEL.digest,
  layerCount: MODEL.layerCount,
  projection: (module: Parameters<typeof projectionShape>[1]) => projectionShape(MODEL, module),
};
