import { startGateway } from '../http/gateway.ts';
import type { RunningTarget } from './running-target.ts';

/** One gateway, as users start it, seen as two targets. */
export interface Polylora {
  readonly base: RunningTarget;
  /** Client N asks for the N-th adapter, beginning again after the last. */
  readonly adapters: RunningTarget;
  stop(): Promise<void>;
}

/** Starts the gateway on a model's file with a folder of adapters. */
export async function startPolylora(
  model: string,
  adapterFolder: string,
  names: readonly string[],
  threads: number,
): Promise<Polylora> {
  const flags = ['--model', model, '--adapters', adapterFolder, '--threads', String(threads)];
  const { url, stop } = await startGateway(flags);
  return {
    base: { url, fields: () => ({ model: 'base' }), stop },
    adapters: { url, fields: (client) => ({ model: names[client % names.length] }), stop },
    stop,
  };
}
