import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readLines } from './lines.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'polylora-lines-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function linesOf(content: string, maxLength = 1_000_000) {
  const path = join(folder, 'file');
  await writeFile(path, content);
  const lines = [];
  for await (const line of readLines(path, maxLength)) lines.push(line);
  return lines;
}

describe('readLines', () => {
  it('gives lines with their places, the last one too where it is not ended', async () => {
    const content = 'ä\n\nlast';
    const lines = await linesOf(content);
    expect(lines.map(({ number, bytes, ended }) => [number, bytes?.toString(), ended])).toEqual([
      [1, 'ä', true],
      [2, '', true],
      [3, 'last', false],
    ]);
    const bytes = Buffer.from(content);
    for (const { offset, length, bytes: text } of lines) {
      expect(bytes.subarray(offset, offset + length)).toEqual(text);
    }
    expect(await linesOf('')).toEqual([]);
    expect(await linesOf('\n')).toHaveLength(1);
  });

  it('puts lines together that are longer than a chunk, and passes over those that are too long', async () => {
    const long = 'x'.repeat(700_000);
    const lines = await linesOf(`a\n${long}\n${long}y\nb\n`, 700_000);
    expect(lines.map(({ bytes, length }) => [bytes?.length ?? null, length])).toEqual([
      [1, 1],
      [700_000, 700_000],
      [null, 700_001],
      [1, 1],
    ]);
    expect(lines[3]?.offset).toBe(2 + 700_001 + 700_002);
  });
});
