import { ExpectedSaving } from '@polylora/engine/scheduling';
import { Simulation } from '../simulation/simulation.ts';
import { TimedScheduler } from '../simulation/timed-scheduler.ts';
import { makeTrace, type TraceOptions } from '../simulation/trace.ts';
import { WORKLOADS } from '../simulation/workloads.ts';
import { percentile, spread } from '../statistics.ts';
import type { Figure } from './figure.ts';

const RUNNING = 256;
const WAITING = 10_000;
const STEPS = 2000;
/** Room for all that run and most of the adapters: what is measured is deciding, not thrashing. */
const PAGES = 16_384;
/** All come at once, and more than can end in the steps that are measured. */
const TRACE: TraceOptions = {
  ...WORKLOADS['many adapters'],
  requests: WAITING + 4000,
  sessionsPerSecond: 1e6,
  tenants: Array.from({ length: 100 }, (_, tenant) => 1 + (tenant % 4)),
  adapters: 500,
  // Short prompts and long answers: otherwise reading prompts would keep fewer from running at once.
  system: { median: 60, spread: 0.5, most: 500 },
  question: { median: 30, spread: 0.5, most: 500 },
  answer: { median: 300, spread: 0.4, most: 512 },
};

export const schedulerTime: Figure = {
  name: 'scheduler-time',
  description: `ms of the scheduler's own time in a step, ${RUNNING} sequences running and ${WAITING} waiting, of 100 tenants over 500 adapters: mean over the steps`,
  must: '<=',
  bound: 1,
  async measure({ rounds = 1 }) {
    const times: number[] = [];
    for (let round = 1; round <= rounds; round++) times.push(...measureSteps(round));
    const { median, most } = spread(times);
    const mean = times.reduce((sum, time) => sum + time, 0) / times.length;
    const within = percentile(times, 0.95);
    return {
      value: mean,
      details: [
        `mean ${mean.toFixed(3)} ms, median ${median.toFixed(3)} ms, 95 % within ${within.toFixed(3)} ms, most ${most.toFixed(2)} ms`,
        `${times.length} steps with all ${RUNNING} running and at least ${WAITING} waiting`,
      ],
    };
  },
};

/** Milliseconds of each step in which as many run and wait as should. */
function measureSteps(seed: number): number[] {
  const times: number[] = [];
  const simulation: Simulation = new Simulation(makeTrace(TRACE, seed), {
    pageCount: PAGES,
    policy: new ExpectedSaving(),
    maxRunning: RUNNING,
    makeScheduler: (options) => new TimedScheduler(options),
    inspect: (scheduler) => {
      const milliseconds = (scheduler as TimedScheduler).takeMilliseconds();
      if (scheduler.running.size >= RUNNING - RUNNING / 16 && scheduler.waiting.size >= WAITING) {
        times.push(milliseconds);
      }
    },
    enough: () => times.length >= STEPS,
  });
  simulation.run();
  return times;
}
