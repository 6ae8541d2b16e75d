import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const WEIGHTS = 'adapter_model.safetensors';

/** The bytes of a number that no kernel can compute with, and of the largest that is stored in half precision. */
const SPECIAL = {
  nan: { F32: Buffer.from([0, 0, 0xc0, 0x7f]), F16: Buffer.from([0, 0x7e]), BF16: Buffer.from([0xc0, 0x7f]) },
  huge: {
    F32: Buffer.from([0, 0xe0, 0x7f, 0x47]),
    F16: Buffer.from([0xff, 0x7b]),
    BF16: Buffer.from([0x7f, 0x47]),
  },
} as const;

/** The names of an adapter's tensors that hold numbers, not indices. */
export async function floatTensors(directory: string): Promise<string[]> {
  const { entries } = await read(directory);
  return entries.filter(([, { dtype }]) => dtype in SPECIAL.nan).map(([name]) => name);
}

/**
 * Copies an adapter with the last value (or all values) of one tensor (or of all) replaced.
 *
 * @param tensor null: every tensor that holds numbers
 */
export async function writeAltered(
  from: string,
  to: string,
  tensor: string | null,
  value: keyof typeof SPECIAL,
  which: 'last' | 'all',
): Promise<void> {
  const { bytes, dataBegin, entries } = await read(from);
  for (const [name, { dtype, data_offsets }] of entries) {
    if (!(dtype in SPECIAL.nan) || (tensor !== null && name !== tensor)) continue;
    const pattern = SPECIAL[value][dtype as keyof (typeof SPECIAL)['nan']];
    const end = dataBegin + data_offsets[1];
    const begin = which === 'all' ? dataBegin + data_offsets[0] : end - pattern.length;
    bytes.fill(pattern, begin, end);
  }
  await cp(from, to, { recursive: true });
  await writeFile(join(to, WEIGHTS), bytes);
}

interface Entry {
  readonly dtype: string;
  readonly data_offsets: readonly [begin: number, end: number];
}

async function read(directory: string) {
  const bytes = await readFile(join(directory, WEIGHTS));
  const dataBegin = 8 + Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString('utf8', 8, dataBegin)) as Record<string, Entry>;
  return { bytes, dataBegin, entries: Object.entries(header).filter(([name]) => name !== '__metadata__') };
}
