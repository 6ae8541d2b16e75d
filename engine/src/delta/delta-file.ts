/** Writes a compressed delta as an adapter's folder: PEFT's two files, with tensors of our own in them. */
import { randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { writeFileDurable } from '../model/atomic-file.ts';
import { LORA_MODULES } from '../types.ts';
import { DeltaError } from './delta-error.ts';
import type { Projection } from './projections.ts';
import type { Ranks } from './rank-plan.ts';

const PREFIX = 'base_model.model.';
/** Of this file format: a reader refuses those that it does not know. */
const FORMAT = 1;
const ALIGNMENT = 8;
const LENGTH_BYTES = 8;
const BYTES = { F32: 4, F16: 2, U8: 1 } as const;
/** Numbers of several bytes come first, so that each begins at a multiple of its own size. */
const ORDER = ['F32', 'F16', 'U8'] as const;

export type DeltaTensor = 'delta_codes' | 'delta_scales' | 'input_scales' | 'lora_A.weight' | 'lora_B.weight';

interface Entry {
  readonly name: string;
  readonly dtype: keyof typeof BYTES;
  readonly shape: readonly [number, number];
}

/** Where each tensor of a delta lies in its file. */
export class DeltaLayout {
  readonly header: Buffer;
  readonly fileBytes: number;
  readonly #places = new Map<string, { readonly begin: number; readonly bytes: number }>();

  /** @param scaled names of the projections that have input scales */
  constructor(projections: readonly Projection[], ranks: Ranks, scaled: ReadonlySet<string>) {
    const entries = projections.flatMap((projection) => entriesOf(projection, ranks, scaled));
    const sorted = ORDER.flatMap((dtype) => entries.filter((entry) => entry.dtype === dtype));
    const json: Record<string, unknown> = {};
    let end = 0;
    for (const { name, dtype, shape } of sorted) {
      const bytes = BYTES[dtype] * shape[0] * shape[1];
      this.#places.set(name, { begin: end, bytes });
      json[`${PREFIX}${name}`] = { dtype, shape, data_offsets: [end, end + bytes] };
      end += bytes;
    }
    const text = Buffer.from(JSON.stringify(json));
    const padded = Math.ceil((text.length + LENGTH_BYTES) / ALIGNMENT) * ALIGNMENT - LENGTH_BYTES;
    this.header = Buffer.alloc(LENGTH_BYTES + padded, ' ');
    this.header.writeBigUInt64LE(BigInt(padded));
    text.copy(this.header, LENGTH_BYTES);
    this.fileBytes = this.header.length + end;
  }

  /** Bytes of a projection's tensors. */
  bytesOf({ name }: Projection): number {
    const own = [...this.#places].filter(([tensor]) => tensor.startsWith(`${name}.`));
    return own.reduce((sum, [, { bytes }]) => sum + bytes, 0);
  }

  /** @throws Error where there is no such tensor, or it has other bytes. */
  place({ name }: Projection, tensor: DeltaTensor, content: Uint8Array): number {
    const place = this.#places.get(`${name}.${tensor}`);
    if (place?.bytes !== content.byteLength) throw new Error(`${name}.${tensor} is not as planned`);
    return this.header.length + place.begin;
  }
}

function entriesOf({ name, module, inputs, outputs }: Projection, ranks: Ranks, scaled: ReadonlySet<string>) {
  const rank = ranks[module];
  const entry = (tensor: DeltaTensor, dtype: Entry['dtype'], rows: number, columns: number): Entry => ({
    name: `${name}.${tensor}`,
    dtype,
    shape: [rows, columns],
  });
  return [
    entry('delta_codes', 'U8', outputs, inputs / 4),
    entry('delta_scales', 'F32', 1, outputs),
    ...(scaled.has(name) ? [entry('input_scales', 'F32', 1, inputs)] : []),
    ...(rank === 0
      ? []
      : [entry('lora_A.weight', 'F16', rank, inputs), entry('lora_B.weight', 'F16', outputs, rank)]),
  ];
}

/** PEFT's configuration, as far as it goes for a delta. */
export function deltaConfig(base: string, ranks: Ranks): string {
  const rank = Math.max(...Object.values(ranks));
  const others = Object.entries(ranks).filter(([, own]) => own !== rank);
  const config = {
    peft_type: 'POLYLORA_DELTA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: base,
    r: rank,
    ...(others.length === 0 ? {} : { rank_pattern: Object.fromEntries(others) }),
    target_modules: LORA_MODULES,
    format: FORMAT,
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

export type PutTensor = (projection: Projection, tensor: DeltaTensor, content: Uint8Array) => Promise<void>;

/**
 * Writes the folder as a whole: it is there with all of its content, or not at all.
 *
 * @param write puts every tensor of the layout, in any order
 * @throws DeltaError `output_exists` where something is there already
 */
export async function writeDeltaFolder(
  folder: string,
  layout: DeltaLayout,
  config: string,
  write: (put: PutTensor) => Promise<void>,
): Promise<void> {
  const target = resolve(folder);
  await assertFree(target);
  const temporary = `${target}.${randomUUID()}.tmp`;
  await mkdir(temporary, { recursive: true });
  try {
    const handle = await open(join(temporary, 'adapter_model.safetensors'), 'wx');
    try {
      await writeAll(handle, layout.header, 0);
      await write((projection, tensor, content) =>
        writeAll(handle, content, layout.place(projection, tensor, content)),
      );
      await handle.sync();
    } finally {
      await handle.close();
    }
    await writeFileDurable(join(temporary, 'adapter_config.json'), config);
    await assertFree(target);
    await rename(temporary, target);
    await syncFolder(dirname(target));
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

/** Takes an empty folder away: a rename replaces one on some systems only. */
async function assertFree(target: string): Promise<void> {
  const content = await readdir(target).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    if (error.code === 'ENOTDIR') return ['itself'];
    throw error;
  });
  if (content === null) return;
  if (content.length > 0) {
    throw new DeltaError('output_exists', `${target} is there already; name a folder that is not.`);
  }
  await rmdir(target);
}

async function writeAll(handle: FileHandle, content: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < content.byteLength; ) {
    const { bytesWritten } = await handle.write(content, done, content.byteLength - done, position + done);
    done += bytesWritten;
  }
}

/** The rename itself is then on the disk; Windows has no such thing. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
