import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { EngineError } from './types.ts';

const require = createRequire(import.meta.url);

/**
 * Path of ONNX Runtime's shared library, as `onnxruntime-node` brings it.
 * @throws EngineError `engine_unavailable` on a platform that it has none for.
 */
export function ortLibrary(): string {
  const names: Partial<Record<NodeJS.Platform, string>> = {
    linux: 'libonnxruntime.so.1',
    darwin: 'libonnxruntime.1.dylib',
    win32: 'onnxruntime.dll',
  };
  const name = names[process.platform];
  if (name === undefined) {
    throw new EngineError('engine_unavailable', `there is no ONNX Runtime for ${process.platform}`);
  }
  const manifest = require.resolve('onnxruntime-node/package.json');
  return join(dirname(manifest), 'bin', 'napi-v6', process.platform, process.arch, name);
}
