import { randomBytes, randomUUID } from 'node:crypto';
import { link, mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { storageError } from '../blobs/blob-store.ts';
import { syncDirectory } from '../durable.ts';
import { StoreError } from '../store-error.ts';

const KEY_BYTES = 32;
const HEX = /^[0-9a-f]{64}$/i;
const OTHERS = 0o077;

/** Reads a key: 64 hexadecimal digits, or 32 bytes in base64; null where it is neither. */
export function parseSecretKey(text: string): Buffer | null {
  const trimmed = text.trim();
  if (HEX.test(trimmed)) return Buffer.from(trimmed, 'hex');
  const bytes = Buffer.from(trimmed, 'base64');
  return bytes.length === KEY_BYTES && bytes.toString('base64') === trimmed ? bytes : null;
}

/**
 * The key in a file, which is made where it is not there. Only its owner may read it.
 * @throws StoreError `secret_key_invalid`, StorageError
 */
export async function readSecretKey(file: string): Promise<Buffer> {
  try {
    await makeKey(file);
    const { mode } = await stat(file);
    if (process.platform !== 'win32' && (mode & OTHERS) !== 0) {
      const message = `others may read the key in ${file}: chmod 600 it, and set what it protects anew`;
      throw new StoreError('secret_key_invalid', message);
    }
    const key = parseSecretKey(await readFile(file, 'utf8'));
    if (key === null)
      throw new StoreError('secret_key_invalid', `${file} holds no key: 64 hexadecimal digits were expected`);
    return key;
  } catch (error) {
    throw storageError(error, 'reading the key of secrets');
  }
}

async function makeKey(file: string): Promise<void> {
  if (await exists(file)) return;
  await mkdir(dirname(file), { recursive: true });
  const beside = `${file}.${randomUUID()}.tmp`;
  try {
    const handle = await open(beside, 'wx', 0o600);
    try {
      await handle.writeFile(`${randomBytes(KEY_BYTES).toString('hex')}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    // Of several that begin at once, the first one's is everybody's; nobody sees half of it.
    await link(beside, file).catch((error: unknown) => {
      if (!(error instanceof Error) || !('code' in error) || error.code !== 'EEXIST') throw error;
    });
    await syncDirectory(dirname(file));
  } finally {
    await rm(beside, { force: true });
  }
}

async function exists(file: string): Promise<boolean> {
  return (await stat(file).catch(() => null)) !== null;
}
