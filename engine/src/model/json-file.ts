import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { EngineError } from '../types.ts';

/** A model's JSON file, or null where there is none. @throws EngineError `model_corrupt` naming the file. */
export async function readOptionalJson(file: string): Promise<unknown> {
  const text = await readOptionalText(file);
  if (text === null) return null;
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new EngineError('model_corrupt', `${file} is not JSON.`, { cause });
  }
}

/** A model's text file, or null where there is none. */
export async function readOptionalText(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** @throws EngineError `model_corrupt` naming the file and every field at fault. */
export function parseJson<T>(json: unknown, file: string, schema: z.ZodType<T>): T {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new EngineError('model_corrupt', `${file} is not as expected: ${z.prettifyError(parsed.error)}`);
}

/** @throws EngineError `model_corrupt` naming the file and every field at fault. */
export async function parseJsonFile<T>(file: string, schema: z.ZodType<T>): Promise<T> {
  return parseJson(await readOptionalJson(file), file, schema);
}
