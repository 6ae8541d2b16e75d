import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../benchmarks/src/simulation/random.ts';
import { Simulation, type SimulationResult } from '../../benchmarks/src/simulation/simulation.ts';
import { makeTrace, type Trace, type TraceOptions } from '../../benchmarks/src/simulation/trace.ts';
import { WORKLOADS } from '../../benchmarks/src/simulation/workloads.ts';
import { ExpectedSaving } from '../../engine/src/memory/eviction.ts';

const SMALL_POOL = 800;
/** Short answers: what takes time here is looking through the books at every step. */
const BRIEF: TraceOptions = { ...WORKLOADS.mixed, answer: { median: 10, spread: 0.7, most: 100 } };
/** The longest that anybody may wait for a first token where the machine is not asked for more than it can do. */
const LONGEST_WAIT_SECONDS = 120;
const OVERLOAD_SECONDS = 300;

function run(trace: TraceOptions, seed: number, pageCount: number): SimulationResult {
  const policy = new ExpectedSaving();
  return new Simulation(makeTrace(trace, seed), { pageCount, policy }).run();
}

function waits({ outcomes }: SimulationResult, tenant: number): number[] {
  return outcomes
    .filter((outcome) => outcome.tenant === tenant)
    .map(({ arrived, firstTokenAt }) => firstTokenAt! - arrived);
}

describe('The simulated scheduler', () => {
  it('answers a mixed trace in a small pool with its books in order at every step, and nobody starves', () => {
    const trace = makeTrace({ ...BRIEF, requests: 2000, sessionsPerSecond: 0.2 }, 1);
    const simulation = new Simulation(trace, {
      pageCount: SMALL_POOL,
      policy: new ExpectedSaving(),
      inspect: (scheduler) => scheduler.checkIntegrity(),
    });
    const { outcomes } = simulation.run();
    expect(outcomes).toHaveLength(trace.requests);
    expect(outcomes.every(({ end }) => end === 'answered')).toBe(true);
    const longest = Math.max(...outcomes.map(({ arrived, firstTokenAt }) => firstTokenAt! - arrived));
    expect(longest).toBeLessThan(LONGEST_WAIT_SECONDS);
  });

  it('gives the same for the same seed', () => {
    const results = [1, 1, 2].map((seed) => run({ ...WORKLOADS.bursty, requests: 200 }, seed, SMALL_POOL));
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).not.toEqual(results[0]);
  });

  it('keeps its books and ends everything through cancellations, removals and failures', () => {
    const world = fc.record({
      seed: fc.nat(),
      pageCount: fc.integer({ min: 640, max: 2000 }),
      maxRunning: fc.integer({ min: 1, max: 32 }),
      sessionsPerSecond: fc.double({ min: 0.05, max: 20, noNaN: true }),
      adapters: fc.integer({ min: 1, max: 60 }),
      cancelled: fc.double({ min: 0, max: 1, noNaN: true }),
      failing: fc.double({ min: 0, max: 0.5, noNaN: true }),
      removesEvery: fc.double({ min: 0.1, max: 20, noNaN: true }),
    });
    fc.assert(
      fc.property(world, ({ seed, pageCount, maxRunning, cancelled, failing, removesEvery, ...traffic }) => {
        const trace = makeTrace({ ...BRIEF, ...traffic, requests: 40 }, seed);
        const random = new Random(seed);
        const simulation = new Simulation(trace, {
          pageCount,
          maxRunning,
          policy: new ExpectedSaving(),
          inspect: (scheduler) => scheduler.checkIntegrity(),
          faults: {
            cancelsAfter: () => (random.next() < cancelled ? random.exponential(2) : null),
            loadFails: () => random.next() < failing,
            removesEvery,
          },
        });
        const { outcomes } = simulation.run();
        expect(outcomes.every(({ end }) => end !== null)).toBe(true);
        const { memory, shares } = simulation.scheduler;
        expect(memory.pool.count('kv')).toBe(0);
        expect(shares).toEqual([]);
      }),
      { numRuns: 15 },
    );
  });

  it('serves tenants by their weights while all have work', () => {
    const tenants = [1, 1, 2, 4];
    const trace = { ...WORKLOADS['many adapters'], tenants, adapters: 20, requests: 4000 };
    const allAtOnce = { ...trace, sessionsPerSecond: 1000 };
    const simulation = new Simulation(makeTrace(allAtOnce, 1), {
      pageCount: 4000,
      policy: new ExpectedSaving(),
      enough: (now) => now > 150,
    });
    const { served } = simulation.run();
    const all = new Set([...simulation.scheduler.waiting].map(({ tenant }) => tenant));
    expect(all.size).toBe(tenants.length);
    const shares = served.map(({ input, output }, tenant) => (input + 2 * output) / tenants[tenant]!);
    const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
    for (const share of shares) {
      expect(share / mean).toBeGreaterThan(0.9);
      expect(share / mean).toBeLessThan(1.1);
    }
  });

  it('keeps a modest tenant served while another asks for far more than there is', () => {
    const greedy = { ...WORKLOADS['many adapters'], adapters: 20, tenants: [1, 1], sessionsPerSecond: 6 };
    const trace = makeTrace({ ...greedy, requests: 1500 }, 3);
    // The second tenant's sessions, one in fifty; the first has all others.
    const sessions = trace.sessions.map((session, index) => ({
      ...session,
      tenant: index % 50 === 49 ? 1 : 0,
    }));
    const policy = new ExpectedSaving();
    const result = new Simulation({ ...trace, sessions }, { pageCount: 3000, policy }).run();
    const [theirs, ours] = [waits(result, 0), waits(result, 1)];
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(ours).toHaveLength(30);
    expect(mean(theirs)).toBeGreaterThan(60);
    expect(mean(ours)).toBeLessThan(mean(theirs) / 10);
  });

  it('carries as much as it can when asked for twice that, refuses the rest at once, and shares by weight', () => {
    const tenants = [1, 1, 2, 2];
    const workload = { ...WORKLOADS['many adapters'], tenants, adapters: 20 };
    const asked = (sessionsPerSecond: number): Trace => {
      const trace = makeTrace({ ...workload, requests: 4000, sessionsPerSecond }, 1);
      const sessions = trace.sessions.map((session, index) => ({
        ...session,
        tenant: index % tenants.length,
      }));
      return { ...trace, sessions };
    };
    const simulate = (trace: Trace, timeoutSeconds?: number) => {
      const enough = (now: number) => now > OVERLOAD_SECONDS;
      const options = { pageCount: 3000, policy: new ExpectedSaving(), enough };
      return new Simulation(
        trace,
        timeoutSeconds === undefined ? options : { ...options, timeoutSeconds },
      ).run();
    };
    const answered = ({ outcomes }: SimulationResult) =>
      outcomes.filter(({ end }) => end === 'answered').length;
    // Everybody at once, and nobody refused: the most that it can do.
    const peak = answered(simulate(asked(1000)));
    const overloaded = simulate(asked((2 * peak) / OVERLOAD_SECONDS), 20);
    expect(answered(overloaded) / peak).toBeGreaterThan(0.9);
    const { outcomes, served } = overloaded;
    const refused = outcomes.filter(({ end }) => end === 'refused').length;
    const expired = outcomes.filter(({ end }) => end === 'expired').length;
    expect(refused / outcomes.length).toBeGreaterThan(0.3);
    // To be told at once is worth more than to be told when the time has passed.
    expect(expired).toBeLessThan(refused / 5);
    // Who was let in in time may still meet a long prompt, or be set back.
    const began = outcomes.filter(({ firstTokenAt }) => firstTokenAt !== null);
    const inTime = began.filter(({ arrived, firstTokenAt }) => firstTokenAt! - arrived < 22);
    expect(inTime.length / began.length).toBeGreaterThan(0.95);
    const shares = served.map(({ input, output }, tenant) => (input + 2 * output) / tenants[tenant]!);
    const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
    for (const share of shares) expect(Math.abs(share / mean - 1)).toBeLessThan(0.1);
  });
});
