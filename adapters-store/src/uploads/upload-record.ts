import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { replaceFile } from '../durable.ts';

/** In an open upload's folder, written last: without it there is no upload. */
export const RECORD_FILE = 'upload.json';

const upload = z.object({
  id: z.string(),
  /** The tenant who began it. */
  owner: z.string(),
  name: z.string(),
  /** Of the whole safetensors file. */
  bytes: z.int(),
  /** Of the whole safetensors file, in hex. */
  sha256: z.string().nullable(),
  tags: z.array(z.string()),
  note: z.string().nullable(),
  parent: z.string().nullable(),
  /** Milliseconds since 1970. */
  createdAt: z.number(),
});

const outcome = z.object({
  upload,
  /** Of the release that it became. */
  number: z.int(),
});

/** What was told when an upload began. */
export type UploadRecord = z.infer<typeof upload>;
type Outcome = z.infer<typeof outcome>;

/** An open upload; null where there is none. */
export async function readRecord(folder: string): Promise<UploadRecord | null> {
  return read(join(folder, RECORD_FILE), upload);
}

export async function writeRecord(folder: string, record: UploadRecord): Promise<void> {
  await replaceFile(join(folder, RECORD_FILE), JSON.stringify(record));
}

/** What became of an upload that was completed; null where there is none. */
export async function readOutcome(file: string): Promise<Outcome | null> {
  return read(file, outcome);
}

export async function writeOutcome(file: string, result: Outcome): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await replaceFile(file, JSON.stringify(result));
}

async function read<T>(file: string, schema: z.ZodType<T>): Promise<T | null> {
  try {
    return schema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw error;
  }
}
