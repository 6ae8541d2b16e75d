import { mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { convertToGguf } from '../adapters/gguf-adapter.ts';
import { run } from '../command.ts';
import { installStep } from './install-step.ts';
import type { LlamaCpp } from './llama-cpp.ts';

/** llama.cpp's formats that the comparisons name: its usual 4 bits, and 8 bits as Polylora's weights have. */
export type LlamaFormat = 'Q4_0' | 'Q8_0';

/**
 * Quantizes the GGUF file that Polylora itself reads, so that both sides have the same weights up to their formats.
 * @returns the quantized file's path
 */
export async function quantizeModel(
  llamaCpp: LlamaCpp,
  source: string,
  format: LlamaFormat,
): Promise<string> {
  const name = `${basename(source, '.gguf')}-to-${format}.gguf`;
  const folder = await installStep(`model-${format}`, [source, format], async (work) => {
    const logFile = join(work, 'quantize.log');
    await run(llamaCpp['llama-quantize'], ['--allow-requantize', source, join(work, name), format], {
      logFile,
    });
  });
  return join(folder, name);
}

/** Converts adapters of `peftFolder` into `ggufFolder`. @returns the files' paths, in the order of the names */
export async function convertAdapters(
  peftFolder: string,
  names: readonly string[],
  ggufFolder: string,
): Promise<string[]> {
  mkdirSync(ggufFolder, { recursive: true });
  const files: string[] = [];
  for (const name of names) {
    const file = join(ggufFolder, `${name}.gguf`);
    await convertToGguf(join(peftFolder, name), file);
    files.push(file);
  }
  return files;
}
