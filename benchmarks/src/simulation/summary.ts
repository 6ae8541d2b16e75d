import { percentile } from '../statistics.ts';
import type { SimulationResult } from './simulation.ts';

const PERCENTILE = 0.95;

/** Milliseconds until the first token. */
export interface FirstToken {
  readonly meanMs: number;
  readonly percentile95Ms: number;
}

export function firstToken({ outcomes }: SimulationResult, tenant: number | null = null): FirstToken {
  const waits: number[] = [];
  for (const outcome of outcomes) {
    if (outcome.firstTokenAt === null || (tenant !== null && outcome.tenant !== tenant)) continue;
    waits.push((outcome.firstTokenAt - outcome.arrived) * 1000);
  }
  return {
    meanMs: waits.reduce((sum, wait) => sum + wait, 0) / waits.length,
    percentile95Ms: percentile(waits, PERCENTILE),
  };
}

/** Tokens generated a second. */
export function outputRate({ served, seconds }: SimulationResult): number {
  return served.reduce((sum, { output }) => sum + output, 0) / seconds;
}
