import type { AdapterFactor, AdapterModule, AdapterOutput, AdapterTensor } from '@polylora/engine-native';
import {
  type AdaptedModule,
  LORA_MODULES,
  type LowRankFactor,
  type ModelInfo,
  type OutputChange,
  projectionShape,
  type TensorLocation,
} from './types.ts';

/** What an adapter does to a projection, as the addon takes it. */
export function nativeModule(adapted: AdaptedModule, model: ModelInfo): AdapterModule {
  const shape = projectionShape(model, adapted.module);
  const { layer, module, input, lowRank, sparse, output } = adapted;
  return {
    layer,
    module: LORA_MODULES.indexOf(module),
    inputs: shape.in,
    outputs: shape.out,
    ...(input && { input: tensor(input) }),
    lowRank: lowRank.map(({ rank, scale, a, b }) => ({ rank, scale, a: factor(a), b: factor(b) })),
    ...(sparse && { sparse: { codes: tensor(sparse.codes), scales: tensor(sparse.scales) } }),
    ...(output && { output: outputChange(output) }),
  };
}

function factor({ tensor: stored, pieces, rowScales }: LowRankFactor): AdapterFactor {
  return {
    tensor: tensor(stored),
    ...(pieces && { pieces: tensor(pieces) }),
    ...(rowScales && { rowScales: tensor(rowScales) }),
  };
}

function outputChange(output: OutputChange): AdapterOutput {
  const { kind } = output;
  switch (kind) {
    case 'scale':
      return { kind, values: tensor(output.factors) };
    case 'magnitude':
      return { kind, values: tensor(output.magnitudes) };
    case 'rotation': {
      const { variant, groupSize, angles, scales } = output;
      return { kind, values: tensor(angles), scales: tensor(scales), variant, groupSize };
    }
  }
}

function tensor({ file, dtype, shape: [rows, columns], begin }: TensorLocation): AdapterTensor {
  return { file, dtype, rows, columns, begin };
}
