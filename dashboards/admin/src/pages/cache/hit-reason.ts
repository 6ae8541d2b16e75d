import type { CacheHit } from '../../api/cache-types.ts';

/** Why a hit was a hit, in a sentence. */
export function hitReason({ level, similarity, probability, threshold, strictness }: CacheHit): string {
  if (level === 'exact')
    return 'The very same question, under the very same model, conversation and parameters.';
  if (level === 'shared')
    return 'It was being made for another request at that moment, and was given to both.';
  const near = `As near as ${similarity.toFixed(3)}, where ${threshold.toFixed(3)} is enough`;
  if (probability === null) return `${near}; nothing verified it.`;
  return `${near}; the verifier was ${share(probability)} sure that both ask for the same, where ${share(strictness)} is enough.`;
}

function share(value: number): string {
  return `${(value * 100).toFixed(0)} %`;
}
