/** Whether one model can be a fine-tune of another. */
import type { DecoderConfig } from '../model/decoder.ts';
import { DeltaError } from './delta-error.ts';

/** What must be the same. The context's length and the texts may differ. */
const EXACT = [
  'architecture',
  'layerCount',
  'hiddenSize',
  'intermediateSize',
  'headCount',
  'kvHeadCount',
  'headDim',
  'vocabSize',
  'tiedEmbeddings',
  'attentionBias',
  'mlpBias',
  'queryKeyNorm',
] as const satisfies readonly (keyof DecoderConfig)[];

/** Files round what they hold: GGUF keeps numbers in float32. */
const ROUNDING = 1e-5;

/** @throws DeltaError `not_a_fine_tune` naming all that differs. */
export function assertSameDecoder(tuned: DecoderConfig, base: DecoderConfig): void {
  const differences: string[] = EXACT.filter((field) => tuned[field] !== base[field]).map(
    (field) => `${field} is ${tuned[field]}, the base's ${base[field]}`,
  );
  if (!isNear(tuned.rmsNormEpsilon, base.rmsNormEpsilon)) {
    differences.push(`rmsNormEpsilon is ${tuned.rmsNormEpsilon}, the base's ${base.rmsNormEpsilon}`);
  }
  const { inverseFrequencies } = base;
  if (!tuned.inverseFrequencies.every((value, index) => isNear(value, inverseFrequencies[index] ?? 0))) {
    differences.push("its rotary frequencies are not the base's");
  }
  if (differences.length === 0) return;
  throw new DeltaError(
    'not_a_fine_tune',
    `This is no fine-tune of that base model: ${differences.join('; ')}.`,
  );
}

function isNear(a: number, b: number): boolean {
  return Math.abs(a - b) <= ROUNDING * Math.max(Math.abs(a), Math.abs(b));
}
