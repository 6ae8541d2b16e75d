import { createHash } from 'node:crypto';
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { fileDigest } from './file-digest.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'polylora-digest-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

it('is computed once, and again when the file changes', async () => {
  const file = join(directory, 'weights');
  const reads: number[] = [];
  const digest = () => fileDigest(file, directory, ({ done }) => reads.push(done));
  await writeFile(file, 'one');
  const first = await digest();
  expect(first).toBe(createHash('sha256').update('one').digest('hex'));
  expect(await digest()).toBe(first);
  expect(reads).toEqual([3]);

  await writeFile(file, 'two');
  await utimes(file, new Date(), new Date(Date.now() + 5_000));
  expect(await digest()).toBe(createHash('sha256').update('two').digest('hex'));
  expect(reads).toEqual([3, 3]);
});
