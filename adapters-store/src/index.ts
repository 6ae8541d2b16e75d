export { readAdapter } from './adapter.ts';
export { type AdapterProblem, loadAdapterDirectory } from './directory.ts';
export { AdapterError, type AdapterErrorCode, type AdapterIssue } from './errors.ts';
export { isAdapterName } from './name.ts';
export type { Adapter, BaseModelShape, LoraModule, LoraPair, TensorLocation } from './types.ts';
