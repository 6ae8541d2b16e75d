import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { TokenComparison } from '@polylora/engine-native';
import { z } from 'zod';

/** As training writes the file: the length of a head in JSON, the head, and the tensors as float32. */
const LENGTH_BYTES = 4;
const VERSION_BYTES = 4;
const Head = z.object({
  width: z.int(),
  d: z.int(),
  hidden: z.int(),
  extra: z.int(),
  members: z.int(),
  slope: z.number(),
  offset: z.number(),
});

/** Networks that compare texts by their tokens' states. */
export interface LoadedComparison {
  readonly networks: TokenComparison;
  /** Of the states that they compare. */
  readonly width: number;
}

/** Reads networks' weights from a file. What is signed with other weights cannot be compared. */
export function readTokenComparison(file: string): LoadedComparison {
  const content = readFileSync(file);
  const tensors = LENGTH_BYTES + content.readUInt32LE(0);
  const head = Head.parse(JSON.parse(content.toString('utf8', LENGTH_BYTES, tensors)));
  const version = new Uint8Array(createHash('sha256').update(content).digest().subarray(0, VERSION_BYTES));
  // A copy: a Buffer may begin anywhere in its memory, and floats may not.
  const values = new Float32Array(new Uint8Array(content.subarray(tensors)).buffer);
  return { networks: new TokenComparison(head, values, version), width: head.width };
}
