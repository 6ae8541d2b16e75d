import {
  type AdapterLoad,
  CostModel,
  type EvictionPolicy,
  type Ranked,
  RankedQueue,
  type Schedule,
  Scheduler,
  type SchedulerOptions,
  Sequence,
} from '@polylora/engine/scheduling';
import { GREEDY } from '../greedy.ts';
import { MAX_TOKENS, type Session, type Trace, tokensOf } from './trace.ts';
import { adapterPages, loadSeconds, stepSeconds } from './truth.ts';

export interface SimulationOptions {
  readonly pageCount: number;
  readonly policy: EvictionPolicy;
  readonly maxRunning?: number;
  /** Seconds within which a request is to begin, else it is refused. */
  readonly timeoutSeconds?: number;
  /** Asked before every schedule whether it may end, with whatever still runs. */
  readonly enough?: (now: number) => boolean;
  /** What goes wrong. */
  readonly faults?: Faults;
  /** Called after every step. */
  readonly inspect?: (scheduler: Scheduler) => void;
  /** Another than a plain scheduler, to watch it. */
  readonly makeScheduler?: (options: SchedulerOptions) => Scheduler;
}

export interface Faults {
  /** Seconds after which the client of a request is gone; null: it stays. */
  readonly cancelsAfter: () => number | null;
  /** Whether this reading of an adapter fails. */
  readonly loadFails: () => boolean;
  /** Seconds between removals of an adapter that was loaded. */
  readonly removesEvery: number;
}

/** What became of a request. */
export interface Outcome {
  readonly tenant: number;
  readonly arrived: number;
  firstTokenAt: number | null;
  endedAt: number | null;
  end: 'answered' | 'cancelled' | 'failed' | 'refused' | 'expired' | null;
}

/** Tokens that a tenant was served. */
export interface Served {
  input: number;
  output: number;
}

export interface SimulationResult {
  readonly outcomes: readonly Outcome[];
  readonly served: readonly Served[];
  readonly seconds: number;
  /** Seconds in which a step ran. */
  readonly busySeconds: number;
  readonly steps: number;
  readonly schedules: number;
  readonly preemptions: number;
  readonly adapterPagesRead: number;
  readonly adapterLoads: number;
  readonly promptTokens: { readonly total: number; readonly cached: number };
  /** Rows that were computed before preemption let go of them. */
  readonly preemptedRows: number;
}

const MODEL = 'simulated';
/** As the engine works it out for SmolLM2-135M. */
const ATTENTION_SCALE = 1024;
const BATCH_TOKENS = 512;
const RUNNING = 64;

/** An arrival: a session's next request. */
interface Arrival extends Ranked {
  readonly session: Session;
  readonly turn: number;
  /** All that was said before. */
  readonly said: Uint32Array;
}

interface Departure extends Ranked {
  readonly sequence: Sequence;
}

/** An adapter on its way from the device. */
interface Reading {
  readonly load: AdapterLoad;
  readonly began: number;
  readonly due: number;
}

/** A request on its way. */
interface Live {
  readonly arrival: Arrival;
  readonly outcome: Outcome;
  readonly answerTokens: number;
}

/**
 * Drives the scheduler with a trace and a clock that the truth's step times advance: the engine's loop, without an
 * engine. Adapters come from a device that reads one after the other.
 */
export class Simulation {
  readonly scheduler: Scheduler;
  readonly #trace: Trace;
  readonly #options: SimulationOptions;
  readonly #arrivals = new RankedQueue<Arrival>();
  readonly #departures = new RankedQueue<Departure>();
  readonly #live = new Map<Sequence, Live>();
  readonly #loading: Reading[] = [];
  readonly #outcomes: Outcome[] = [];
  readonly #served: Served[];
  /** Adapters that are to be forgotten when nobody uses them. */
  readonly #leaving = new Set<string>();
  #now = 0;
  #nextSession = 0;
  #nextToken = 2 ** 30;
  #deviceFreeAt = 0;
  #nextRemoval = Number.POSITIVE_INFINITY;
  #busySeconds = 0;
  #steps = 0;
  #schedules = 0;
  #adapterPagesRead = 0;
  #adapterLoads = 0;
  #preemptedRows = 0;

  constructor(trace: Trace, options: SimulationOptions) {
    this.#trace = trace;
    this.#options = options;
    this.#served = trace.options.tenants.map(() => ({ input: 0, output: 0 }));
    if (options.faults !== undefined) this.#nextRemoval = options.faults.removesEvery;
    const { makeScheduler = (scheduler: SchedulerOptions) => new Scheduler(scheduler) } = options;
    this.scheduler = makeScheduler({
      pageCount: options.pageCount,
      maxBatchTokens: BATCH_TOKENS,
      maxRunning: options.maxRunning ?? RUNNING,
      maxBatchAdapters: null,
      adapterPoolPages: null,
      tpotTargetSeconds: null,
      speculation: 'off',
      costs: new CostModel({ attentionScale: ATTENTION_SCALE }),
      policy: options.policy,
      adapterPages: (digest) => adapterPages(Number(digest)),
      onEvictAdapter: () => {},
    });
    this.#arriveNext();
  }

  run(): SimulationResult {
    const { enough = () => false } = this.#options;
    while (!enough(this.#now) && this.#advance());
    const { preemptions, promptTokens } = this.scheduler;
    return {
      outcomes: this.#outcomes,
      served: this.#served,
      seconds: this.#now,
      busySeconds: this.#busySeconds,
      steps: this.#steps,
      schedules: this.#schedules,
      preemptions,
      adapterPagesRead: this.#adapterPagesRead,
      adapterLoads: this.#adapterLoads,
      promptTokens,
      preemptedRows: this.#preemptedRows,
    };
  }

  /** One schedule and its steps, or the time until something happens. False: nothing ever will. */
  #advance(): boolean {
    this.#happen();
    const schedule = this.scheduler.schedule(this.#now);
    this.#schedules++;
    for (const load of schedule.loads) this.#read(load);
    for (const sequence of schedule.expired) this.#end(sequence, 'expired');
    if (schedule.batch.length > 0) {
      this.#runBatch(schedule);
      return true;
    }
    const next = this.#nextEvent();
    if (next === Number.POSITIVE_INFINITY) {
      if (this.scheduler.isIdle) return false;
      throw new Error('sequences wait and nothing will ever happen');
    }
    if (!this.scheduler.isIdle && this.#loading.length === 0) {
      throw new Error('sequences wait, no adapter is being read, and nothing runs');
    }
    this.#now = Math.max(this.#now, next);
    return true;
  }

  #nextEvent(): number {
    return Math.min(
      this.#arrivals.first?.rank ?? Number.POSITIVE_INFINITY,
      this.#loading[0]?.due ?? Number.POSITIVE_INFINITY,
      this.#departures.first?.rank ?? Number.POSITIVE_INFINITY,
    );
  }

  /** Everything that was due by now. */
  #happen(): void {
    for (let next = this.#loading[0]; next !== undefined && next.due <= this.#now; next = this.#loading[0]) {
      this.#loading.shift();
      this.#loaded(next);
    }
    for (let next = this.#arrivals.first; next !== undefined && next.rank <= this.#now; ) {
      this.#arrivals.delete(next);
      this.#arrive(next);
      next = this.#arrivals.first;
    }
    for (let next = this.#departures.first; next !== undefined && next.rank <= this.#now; ) {
      this.#departures.delete(next);
      if (this.#live.has(next.sequence)) this.#end(next.sequence, 'cancelled');
      next = this.#departures.first;
    }
    if (this.#now >= this.#nextRemoval) this.#removeAdapter();
  }

  /** Puts the first request of the next session in line; they come in order. */
  #arriveNext(): void {
    const session = this.#trace.sessions[this.#nextSession++];
    if (session === undefined) return;
    const { system, arrives } = session;
    const said = system === null ? new Uint32Array() : tokensOf(system.from, system.tokens);
    this.#arrivals.add({ rank: arrives, place: -1, session, turn: 0, said });
  }

  #arrive(arrival: Arrival): void {
    const { session, turn: index, said, rank: arrived } = arrival;
    if (index === 0) this.#arriveNext();
    const turn = session.turns[index]!;
    const prompt = new Uint32Array(said.length + turn.questionTokens);
    prompt.set(said);
    prompt.set(this.#newTokens(turn.questionTokens), said.length);
    const { tenant, adapter } = session;
    const { timeoutSeconds = null } = this.#options;
    const sequence = new Sequence({
      id: '',
      handle: this.#outcomes.length,
      prompt,
      adapter: adapter === null ? null : String(adapter),
      sampling: SAMPLING,
      maxTokens: MAX_TOKENS,
      tenant: String(tenant),
      weight: this.#trace.options.tenants[tenant]!,
      priority: 'normal',
      prefixRoot: `${MODEL} ${tenant} ${adapter}`,
      lengthKeys: [String(adapter)],
      arrived,
      deadline: timeoutSeconds === null ? null : arrived + timeoutSeconds,
    });
    const outcome: Outcome = { tenant, arrived, firstTokenAt: null, endedAt: null, end: null };
    this.#outcomes.push(outcome);
    this.#live.set(sequence, {
      arrival,
      outcome,
      answerTokens: Math.min(turn.answerTokens, MAX_TOKENS),
    });
    // As the engine does: what would come too late is told so at once.
    if (timeoutSeconds !== null && this.scheduler.predictedWait(sequence) > timeoutSeconds) {
      this.#end(sequence, 'refused');
      return;
    }
    this.scheduler.add(sequence);
    const stays = this.#options.faults?.cancelsAfter() ?? null;
    if (stays !== null) this.#departures.add({ rank: arrived + stays, place: -1, sequence });
  }

  #newTokens(count: number): Uint32Array {
    this.#nextToken += count;
    return tokensOf(this.#nextToken - count, count);
  }

  #runBatch({ batch, steps }: Schedule): void {
    const { costs } = this.scheduler;
    let ended = false;
    for (let step = 0; step < steps && !ended; step++) {
      const seconds = stepSeconds(batch);
      this.#now += seconds;
      this.#busySeconds += seconds;
      this.#steps++;
      let [decodeRows, prefillWork] = [0, 0];
      for (const { sequence, rows } of batch) {
        if (sequence.isDecoding) decodeRows++;
        else prefillWork += costs.prefillWork(sequence.computed, rows);
        this.#compute(sequence, rows);
      }
      costs.stepped({ decodeRows, prefillWork, seconds });
      for (const { sequence } of batch) {
        if (sequence.computed === sequence.length && this.#appendToken(sequence)) ended = true;
      }
      this.#options.inspect?.(this.scheduler);
      // What comes meanwhile has the run end after this step.
      if (this.#nextEvent() <= this.#now) break;
    }
  }

  #compute(sequence: Sequence, rows: number): void {
    const { computed, paid, prompt, tenant } = sequence;
    this.#preemptedRows += Math.max(0, Math.min(computed + rows, paid) - computed);
    const served = this.#served[Number(tenant)]!;
    const fresh = Math.max(0, computed + rows - Math.max(computed, paid));
    const input = Math.max(0, Math.min(fresh, prompt.length - Math.max(computed, paid)));
    served.input += input;
    served.output += fresh - input;
    this.scheduler.computed({ sequence, rows });
  }

  /** @returns whether it was the last */
  #appendToken(sequence: Sequence): boolean {
    const { outcome, answerTokens } = this.#live.get(sequence)!;
    outcome.firstTokenAt ??= this.#now;
    sequence.output.push(this.#nextToken++);
    if (sequence.output.length < answerTokens) return false;
    this.#end(sequence, 'answered');
    return true;
  }

  #end(sequence: Sequence, end: NonNullable<Outcome['end']>): void {
    const { arrival, outcome } = this.#live.get(sequence)!;
    this.#live.delete(sequence);
    outcome.endedAt = this.#now;
    outcome.end = end;
    this.scheduler.remove(sequence, end === 'answered');
    if (sequence.adapter !== null && this.#leaving.has(sequence.adapter)) this.#forget(sequence.adapter);
    const { session } = arrival;
    const turn = arrival.turn + 1;
    // Somebody who got no answer does not go on.
    if (end !== 'answered' || turn >= session.turns.length) return;
    const said = new Uint32Array(sequence.length);
    said.set(sequence.prompt);
    said.set(sequence.output, sequence.prompt.length);
    const rank = this.#now + session.turns[arrival.turn]!.thinkSeconds;
    this.#arrivals.add({ rank, place: -1, session, turn, said });
  }

  #read(load: AdapterLoad): void {
    const due = Math.max(this.#now, this.#deviceFreeAt) + loadSeconds(load.pages.length);
    this.#deviceFreeAt = due;
    this.#loading.push({ load, began: this.#now, due });
    this.#adapterLoads++;
    this.#adapterPagesRead += load.pages.length;
  }

  #loaded({ load, began, due }: Reading): void {
    const { digest, pages } = load;
    if (this.#options.faults?.loadFails()) {
      this.scheduler.adapterFailed(digest);
      const waiting = [...this.#live.keys()].filter(({ adapter }) => adapter === digest);
      for (const sequence of waiting) this.#end(sequence, 'failed');
    } else {
      this.scheduler.costs.loaded(pages.length, due - began);
      this.scheduler.adapterLoaded(digest);
    }
    if (this.#leaving.has(digest)) this.#forget(digest);
  }

  /** The first of the loaded adapters is removed, as soon as nobody uses it; who asks later has it read again. */
  #removeAdapter(): void {
    this.#nextRemoval += this.#options.faults!.removesEvery;
    const [digest] = this.scheduler.memory.adapters.resident;
    if (digest === undefined) return;
    this.#leaving.add(digest);
    this.#forget(digest);
  }

  #forget(digest: string): void {
    for (const { adapter } of this.#live.keys()) if (adapter === digest) return;
    const { adapters } = this.scheduler.memory;
    if (adapters.state(digest) === 'loading') return;
    adapters.drop(digest);
    this.#leaving.delete(digest);
  }
}

const SAMPLING = { ...GREEDY, maxTokens: MAX_TOKENS };
