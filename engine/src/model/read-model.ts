import type { DecoderModel } from './decoder.ts';
import type { LocalModel } from './fetch-model.ts';
import { readGguf } from './gguf-model.ts';
import { readHuggingFace } from './hugging-face.ts';

/** @throws EngineError as `readGguf` and `readHuggingFace` do. */
export function readModel(local: LocalModel): Promise<DecoderModel> {
  return local.kind === 'gguf' ? readGguf(local.file) : readHuggingFace(local.directory);
}
