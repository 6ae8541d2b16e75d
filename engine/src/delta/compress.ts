/**
 * Makes an adapter of a full fine-tune: for each projection the difference to the base model as a product of low rank and
 * a sparse matrix of few bits (after DeltaZip, Yao et al., 2023).
 */
import { extractDelta, readVector } from '@polylora/engine-native';
import type { DecoderModel } from '../model/decoder.ts';
import { type FetchOptions, fetchModel } from '../model/fetch-model.ts';
import { readModel } from '../model/read-model.ts';
import { LORA_MODULES, type LoraModule } from '../types.ts';
import { DeltaError } from './delta-error.ts';
import { DeltaLayout, deltaConfig, writeDeltaFolder } from './delta-file.ts';
import { compareLeftOut, type KeepOptions, type LeftOut } from './left-out.ts';
import { type Projection, projectionsOf, tensorOf } from './projections.ts';
import { type Ranks, ranksWithin, sameRanks } from './rank-plan.ts';
import { assertSameDecoder } from './same-decoder.ts';

const F16_BYTES = 2;
/** What an adapter may hold: float16's largest number. */
const LARGEST_FACTOR = 65_504;
/** Inputs that one code stands for. */
const GROUP = 4;
/** How often each part is fitted to what the other leaves. Six leave 2 to 3 % less than one; four more would gain another 0.3 %. */
const ROUNDS = 6;

export interface CompressOptions extends KeepOptions, Omit<FetchOptions, 'source' | 'onProgress'> {
  /** As `FetchOptions.source`: the fine-tuned model, and the one that it was tuned from. */
  readonly tuned: string;
  readonly base: string;
  /** A folder that is not there yet. */
  readonly folder: string;
  /** How many times smaller than float16, or ranks for all projections. */
  readonly size: { readonly target: number } | { readonly rank: number };
  readonly onProgress?: (done: number, projections: number) => void;
}

/** What became of the projections of one kind, in all layers. */
export interface CompressedKind {
  readonly module: LoraModule;
  readonly rank: number;
  readonly float16Bytes: number;
  readonly bytes: number;
  /** ‖what is left of the difference‖ ÷ ‖difference‖; 0 where there is none. */
  readonly relativeError: number;
}

export interface CompressionReport {
  /** Of all projections. */
  readonly float16Bytes: number;
  /** Of the adapter's tensors file. */
  readonly fileBytes: number;
  /** Of both. */
  readonly compression: number;
  readonly relativeError: number;
  readonly kinds: readonly CompressedKind[];
  /** What was kept of the base although the fine-tune changed it. */
  readonly leftOut: readonly LeftOut[];
}

/**
 * Compresses a fine-tune and writes it as an adapter.
 *
 * @throws DeltaError where it is no fine-tune of that base, has changed what is not carried, cannot be made that small, or
 *   something is in the folder's place; EngineError where a model cannot be read
 */
export async function compressFineTune(options: CompressOptions): Promise<CompressionReport> {
  const { home, hub, folder, onProgress } = options;
  const access = { home, ...(hub === undefined ? {} : { hub }) };
  const local = await fetchModel({ source: options.base, ...access });
  const base = await readModel(local);
  const tuned = await readModel(await fetchModel({ source: options.tuned, ...access }));
  assertSameDecoder(tuned.config, base.config);
  const leftOut = await compareLeftOut(tuned, base, options);

  const projections = projectionsOf(base);
  const odd = projections.find(({ inputs }) => inputs % GROUP !== 0);
  if (odd !== undefined) {
    throw new DeltaError(
      'size_not_possible',
      `${odd.name} has ${odd.inputs} inputs; only multiples of ${GROUP} can be compressed.`,
    );
  }
  const inputScales = await inputScalesOf(projections, tuned, base);
  const ranks = planRanks(projections, new Set(inputScales.keys()), options.size);
  const layout = new DeltaLayout(projections, ranks, new Set(inputScales.keys()));

  const sums = new Map(LORA_MODULES.map((module) => [module, { norm: 0, error: 0 }]));
  await writeDeltaFolder(folder, layout, deltaConfig(local.name, ranks), async (put) => {
    for (const [index, projection] of projections.entries()) {
      onProgress?.(index, projections.length);
      const { name, module } = projection;
      const parts = await extractDelta({
        tuned: tensorOf(tuned, `${name}.weight`),
        base: tensorOf(base, `${name}.weight`),
        rank: ranks[module],
        rounds: ROUNDS,
      });
      await put(projection, 'delta_codes', parts.codes);
      await put(projection, 'delta_scales', parts.scales);
      if (ranks[module] > 0) {
        await put(projection, 'lora_A.weight', parts.a);
        await put(projection, 'lora_B.weight', parts.b);
      }
      const scales = inputScales.get(name);
      if (scales !== undefined) await put(projection, 'input_scales', littleEndian(scales));
      const sum = sums.get(module)!;
      sum.norm += parts.norm;
      sum.error += parts.error;
    }
    onProgress?.(projections.length, projections.length);
  });

  const kinds = LORA_MODULES.map((module): CompressedKind => {
    const own = projections.filter((projection) => projection.module === module);
    return {
      module,
      rank: ranks[module],
      float16Bytes: float16Bytes(own),
      bytes: own.reduce((sum, projection) => sum + layout.bytesOf(projection), 0),
      relativeError: relative([sums.get(module)!]),
    };
  });
  return {
    float16Bytes: float16Bytes(projections),
    fileBytes: layout.fileBytes,
    compression: float16Bytes(projections) / layout.fileBytes,
    relativeError: relative([...sums.values()]),
    kinds,
    leftOut,
  };
}

/** @throws DeltaError `size_not_possible` where the target cannot be kept or a rank is larger than a side. */
function planRanks(
  projections: readonly Projection[],
  scaled: ReadonlySet<string>,
  size: CompressOptions['size'],
): Ranks {
  if ('rank' in size) {
    const narrow = projections.find(({ inputs, outputs }) => size.rank > Math.min(inputs, outputs));
    if (narrow === undefined) return sameRanks(size.rank);
    throw new DeltaError(
      'size_not_possible',
      `A rank of ${size.rank} is larger than a side of ${narrow.name}, ${narrow.outputs} by ${narrow.inputs}.`,
    );
  }
  const sizeOf = (ranks: Ranks) => new DeltaLayout(projections, ranks, scaled).fileBytes;
  const whole = float16Bytes(projections);
  const ranks = ranksWithin(projections, whole / size.target, sizeOf);
  if (ranks !== null) return ranks;
  // Rounded down: what is said to be possible is.
  const most = Math.floor((100 * whole) / sizeOf(sameRanks(0))) / 100;
  throw new DeltaError(
    'size_not_possible',
    `A delta of this model can be at most ${most} times smaller than float16, not ${size.target} times.`,
  );
}

/**
 * The factors of the inputs of projections whose norm the fine-tune has changed, by projection.
 * @throws DeltaError `change_not_carried` where no factor says what has changed
 */
async function inputScalesOf(
  projections: readonly Projection[],
  tuned: DecoderModel,
  base: DecoderModel,
): Promise<Map<string, Float32Array>> {
  const byNorm = new Map<string, Float32Array | null>();
  const byProjection = new Map<string, Float32Array>();
  for (const { name, norm } of projections) {
    if (norm === null) continue;
    const known = byNorm.get(norm);
    const scales = known === undefined ? await quotient(norm, tuned, base) : known;
    byNorm.set(norm, scales);
    if (scales !== null) byProjection.set(name, scales);
  }
  return byProjection;
}

/** tuned ÷ base of a norm's weights, or null where all are the same. */
async function quotient(name: string, tuned: DecoderModel, base: DecoderModel): Promise<Float32Array | null> {
  const after = await readVector(tensorOf(tuned, name));
  const before = await readVector(tensorOf(base, name));
  if (after.every((value, index) => value === before[index])) return null;
  return after.map((value, index) => {
    const old = before[index]!;
    const factor = value === old ? 1 : value / old;
    if (Math.abs(factor) <= LARGEST_FACTOR) return factor;
    throw new DeltaError('change_not_carried', `${name} is ${old} in the base at ${index}, here ${value}.`);
  });
}

function float16Bytes(projections: readonly Projection[]): number {
  return projections.reduce((sum, { inputs, outputs }) => sum + F16_BYTES * inputs * outputs, 0);
}

function relative(sums: readonly { readonly norm: number; readonly error: number }[]): number {
  const norm = sums.reduce((total, sum) => total + sum.norm, 0);
  const error = sums.reduce((total, sum) => total + sum.error, 0);
  return norm === 0 ? 0 : Math.sqrt(error / norm);
}

function littleEndian(values: Float32Array): Uint8Array {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeFloatLE(value, index * 4);
  return bytes;
}
