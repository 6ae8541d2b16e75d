import { createReadStream } from 'node:fs';

const NEWLINE = 0x0a;
const CHUNK_BYTES = 256 * 1024;

/** A line of a file, without the newline that ends it. */
export interface Line {
  /** The first is 1. */
  readonly number: number;
  readonly offset: number;
  readonly length: number;
  /** null where the line is longer than was asked for. */
  readonly bytes: Buffer | null;
  /** False for what follows the last newline. */
  readonly ended: boolean;
}

/** Reads a file line by line in little memory: no more than a chunk and one line. What follows the last newline is a line too. */
export async function* readLines(path: string, maxLength: number): AsyncGenerator<Line> {
  let parts: Buffer[] = [];
  let number = 1;
  let offset = 0;
  let length = 0;
  const line = (ended: boolean): Line => ({
    ...{ number, offset, length, ended },
    bytes: length > maxLength ? null : Buffer.concat(parts),
  });
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES })) {
    const bytes = chunk as Buffer;
    let start = 0;
    while (start < bytes.length) {
      const newline = bytes.indexOf(NEWLINE, start);
      const end = newline === -1 ? bytes.length : newline;
      length += end - start;
      if (length <= maxLength) parts.push(bytes.subarray(start, end));
      else parts = [];
      start = end + 1;
      if (newline === -1) continue;
      yield line(true);
      number += 1;
      offset += length + 1;
      length = 0;
      parts = [];
    }
  }
  if (length > 0) yield line(false);
}
