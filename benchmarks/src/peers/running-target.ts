import type { Target } from '../http/load.ts';

/** A server that was started to be measured. Idle, it leaves the CPU to the others. */
export interface RunningTarget extends Target {
  stop(): Promise<void>;
}
