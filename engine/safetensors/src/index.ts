export type { SafetensorsDtype } from './dtypes.ts';
export { SafetensorsError, type SafetensorsErrorCode } from './errors.ts';
export {
  openSafetensors,
  type ReadHeaderOptions,
  readSafetensorsHeader,
  readSafetensorsHeaderFrom,
  type SafetensorsHeader,
  type SafetensorsTensor,
} from './header.ts';
