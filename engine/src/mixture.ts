import { createHash } from 'node:crypto';
import { type AdaptedModule, type AdapterWeights, EngineError, type LowRankChange } from './types.ts';

/** One of the adapters in a mixture. */
export interface MixturePart {
  /** Of its content. */
  readonly digest: string;
  /** What its change is multiplied by. */
  readonly weight: number;
}

/** Parts in one order, each content once: equal mixtures are then equal to the last bit. */
function canonical(parts: readonly MixturePart[]): MixturePart[] {
  const weights = new Map<string, number>();
  for (const { digest, weight } of parts) weights.set(digest, (weights.get(digest) ?? 0) + weight);
  return [...weights]
    .map(([digest, weight]) => ({ digest, weight }))
    .sort((a, b) => (a.digest < b.digest ? -1 : 1));
}

/** What the mixture is known by: equal for equal contents and weights, in whatever order. */
export function mixtureDigest(parts: readonly MixturePart[]): string {
  const hash = createHash('sha256').update('polylora-mixture-v1');
  for (const { digest, weight } of canonical(parts)) {
    const number = Buffer.alloc(8);
    number.writeDoubleLE(weight);
    // A digest has a fixed length.
    hash.update(digest).update(number);
  }
  return hash.digest('hex');
}

/**
 * Adapters added up with weights: Σ weight · scale · B·A, exactly, whatever their ranks are. (LoRAX adds up A and B by themselves,
 * which needs equal ranks and brings products of one adapter's A with another's B.)
 *
 * @param weightsOf the adapter with a digest
 * @throws EngineError `adapters_not_mixable` where one of them is more than a sum: factors and rotations do not add up
 */
export async function mixAdapters(
  parts: readonly MixturePart[],
  weightsOf: (digest: string) => Promise<AdapterWeights>,
): Promise<AdapterWeights> {
  const files: AdapterWeights['files'][number][] = [];
  const modules = new Map<string, { module: AdaptedModule; lowRank: LowRankChange[] }>();
  for (const { digest, weight } of canonical(parts)) {
    const adapter = await weightsOf(digest);
    const firstFile = files.length;
    files.push(...adapter.files);
    for (const module of adapter.modules) {
      assertSum(module);
      const key = `${module.layer} ${module.module}`;
      const mixed = modules.get(key) ?? { module, lowRank: [] };
      modules.set(key, mixed);
      for (const change of module.lowRank) mixed.lowRank.push(moved(change, weight, firstFile));
    }
  }
  return {
    digest: mixtureDigest(parts),
    files,
    modules: [...modules.values()].map(({ module: { layer, module }, lowRank }) => ({
      layer,
      module,
      lowRank,
    })),
  };
}

function assertSum({ input, sparse, output }: AdaptedModule): void {
  if (input === undefined && sparse === undefined && output === undefined) return;
  const kinds = 'DoRA, (IA)³, RoAd and deltas of fine-tunes are more than sums';
  throw new EngineError(
    'adapters_not_mixable',
    `Only LoRA, rsLoRA, VeRA and MoS adapters can be mixed: ${kinds}.`,
  );
}

/** A change with its weight, its tensors in files that come after others. */
function moved({ rank, scale, a, b }: LowRankChange, weight: number, firstFile: number): LowRankChange {
  const move = ({ tensor, pieces, rowScales }: LowRankChange['a']): LowRankChange['a'] => ({
    tensor: { ...tensor, file: tensor.file + firstFile },
    ...(pieces && { pieces: { ...pieces, file: pieces.file + firstFile } }),
    ...(rowScales && { rowScales: { ...rowScales, file: rowScales.file + firstFile } }),
  });
  return { rank, scale: scale * weight, a: move(a), b: move(b) };
}
