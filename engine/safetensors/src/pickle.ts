import { SafetensorsError } from './errors.ts';

const PICKLE_EXTENSIONS = ['.bin', '.pt', '.pth', '.ckpt', '.pkl', '.pickle', '.zip', '.tar'];
const ADVICE =
  'such files can run code when they are read, so they are never loaded; convert it to safetensors';

/** Throws `pickle_refused` where the file's name is that of a pickle or torch file. */
export function refusePickleName(file: string): void {
  const lower = file.toLowerCase();
  const extension = PICKLE_EXTENSIONS.find((candidate) => lower.endsWith(candidate));
  if (extension !== undefined) {
    throw new SafetensorsError(
      'pickle_refused',
      file,
      `a ${extension} file is not a safetensors file: ${ADVICE}`,
    );
  }
}

/**
 * Throws `pickle_refused` where a file begins as a zip archive (torch.save) or as a pickle of protocol 2 to 5.
 *
 * The first eight bytes of a safetensors file are its header's length, and 640 is written with the same two bytes
 * as a pickle begins. Its ninth byte is an opening brace, which no pickle or zip has there, and a header below
 * 65,536 bytes has a zero as its third, which is no pickle instruction.
 *
 * @param head the file's first bytes, at most nine are looked at
 */
export function refusePickleContent(file: string, head: Uint8Array): void {
  if (head[8] === 0x7b) return;
  if (head[0] === 0x50 && head[1] === 0x4b && (head[2] ?? 0) < 9 && (head[2] ?? 0) % 2 === 1) {
    throw new SafetensorsError('pickle_refused', file, `this is a zip or torch file: ${ADVICE}`);
  }
  const protocol = head[1] ?? 0;
  if (head[0] === 0x80 && protocol >= 2 && protocol <= 5 && (head[2] ?? 0) !== 0) {
    throw new SafetensorsError('pickle_refused', file, `this is a pickle file: ${ADVICE}`);
  }
}
