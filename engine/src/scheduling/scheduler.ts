import type { AdapterLoad } from '../memory/adapter-residency.ts';
import type { EvictionPolicy } from '../memory/eviction.ts';
import { UnifiedMemory } from '../memory/unified-memory.ts';
import { type AdapterEvictionReason, PRIORITIES, type ServiceTotals, type TenantShare } from '../types.ts';
import type { CostModel } from './cost-model.ts';
import { FairQueue } from './fair-queue.ts';
import { LengthPredictor } from './length-predictor.ts';
import { BLOCK_TOKENS, blocksFor, type ScheduledSequence, type Sequence } from './sequence.ts';
import { type DraftPlan, MOST_DRAFTS, Speculation, type SpeculationMode } from './speculation.ts';

export interface SchedulerOptions {
  readonly pageCount: number;
  /** Pages for adapters alone, the others for KV blocks alone; null: one pool for both. */
  readonly adapterPoolPages: number | null;
  /** The most tokens one step computes. */
  readonly maxBatchTokens: number;
  /** The most sequences that run at once. */
  readonly maxRunning: number;
  /** Adapters beyond which a batch takes new ones only for who has waited for `PATIENCE_SECONDS`; null: no limit. */
  readonly maxBatchAdapters: number | null;
  /** Seconds between a stream's tokens that prompts being read beside it are to keep; null: twice those of decoding alone, but at least `LEAST_TPOT_SECONDS`. */
  readonly tpotTargetSeconds: number | null;
  /** When tokens are drafted. */
  readonly speculation: SpeculationMode;
  readonly costs: CostModel;
  readonly policy: EvictionPolicy;
  /** Pages of an adapter's weights. */
  readonly adapterPages: (digest: string) => number;
  readonly onEvictAdapter: (slot: number, reason: AdapterEvictionReason) => void;
}

export interface Schedule {
  readonly batch: readonly ScheduledSequence[];
  /** Steps that the batch may run before anything has to be decided anew, each sequence's new token being its next input. */
  readonly steps: number;
  /** What may be drafted in them; null: nothing. */
  readonly drafts: DraftPlan | null;
  /** Adapters to start reading now, beside the step. */
  readonly loads: readonly AdapterLoad[];
  /** Waiting sequences whose deadline has passed. They are still to be removed. */
  readonly expired: readonly Sequence[];
}

/** The most steps that one schedule may be run for. */
const MOST_STEPS = 16;
/** Rows of a prompt that are read in a step at least, however long the step becomes. */
const LEAST_ROWS = 4;
/** Streams that are slower than so many seconds a token are slowed to twice their time at most, faster ones to this. */
const LEAST_TPOT_SECONDS = 0.1;
/** A generated token's service, in tokens read: about what it costs in a batch of sixteen. */
const OUTPUT_PRICE = 2;
/** Candidates looked at in a step, to start reading their adapters. */
const LOOK_AHEAD = 64;
/** Adapters being read at once. */
const MOST_LOADING = 4;
/** Service that a tenant may be ahead of one that yields to it: a prompt's. More would turn shares round. */
const MOST_AHEAD = 2048;
/** A tenant's running sequences ÷ its share above which one of them is set back for another tenant's. */
const FAR_MORE = 1.5;
/** After so long a sequence's adapter comes into a batch that has its number of adapters. */
const PATIENCE_SECONDS = 1;

const NOBODY: ReadonlySet<string> = new Set();

/** What a waiting sequence may do now. */
type Admission =
  /** It runs. */
  | 'admitted'
  /** It waits for its adapter, and others may pass it. */
  | 'passed'
  /** There is no room for it, and none may pass it: a large request must not starve. */
  | 'full';

/**
 * Chooses each step's batch: every decoding sequence first, then chunks of prompts (Sarathi-Serve) as far as the
 * streams beside them stay fast, in the order of `FairQueue`. Short of pages, the sequence of least priority, of the
 * tenant served most, is preempted and recomputed later, from what the prefix cache still has.
 * Pure: no clock, no I/O, no tensors.
 */
export class Scheduler {
  readonly memory: UnifiedMemory;
  readonly costs: CostModel;
  readonly lengths = new LengthPredictor();
  readonly speculation: Speculation;
  readonly #options: SchedulerOptions;
  readonly #queue = new FairQueue();
  /** In order of admission. */
  readonly #running = new Set<Sequence>();
  /** How many of them each tenant has. */
  readonly #runningOf = new Map<string, number>();
  /** How many of them there are of each priority. */
  readonly #runningAt = PRIORITIES.map(() => 0);
  /** In order of arrival, but for preempted ones. */
  readonly #waiting = new Set<Sequence>();
  readonly #withDeadline = new Set<Sequence>();
  #now = 0;
  /** Blocks that all that run will probably still need; null: to be counted anew. */
  #promised: number | null = null;
  /** As `#greediest` gives it; undefined: to be looked for anew. */
  #greedy: string | null | undefined;
  #loading = 0;
  /** Adapters of the candidates that were looked at last. */
  #inSight: ReadonlySet<string> = NOBODY;
  preemptions = 0;
  /** Prompt tokens of admitted sequences, and those of them that were found in the prefix cache. */
  readonly promptTokens = { total: 0, cached: 0 };

  constructor(options: SchedulerOptions) {
    // More sequences than a step has tokens could not all decode in it: the youngest would starve.
    this.#options = { ...options, maxRunning: Math.min(options.maxRunning, options.maxBatchTokens) };
    this.costs = options.costs;
    this.speculation = new Speculation(options.speculation, options.costs);
    this.memory = new UnifiedMemory(
      options.pageCount,
      options.adapterPoolPages,
      options.policy,
      options.onEvictAdapter,
    );
  }

  get running(): ReadonlySet<Sequence> {
    return this.#running;
  }

  get waiting(): ReadonlySet<Sequence> {
    return this.#waiting;
  }

  get isIdle(): boolean {
    return this.#running.size === 0 && this.#waiting.size === 0;
  }

  get shares(): TenantShare[] {
    return this.#queue.shares.map((share) => ({
      ...share,
      running: this.#runningOf.get(share.tenant) ?? 0,
    }));
  }

  get service(): ServiceTotals {
    return this.#queue.service;
  }

  /** Whether a sequence of this many tokens could run alone; if not, it never can. */
  canEverFit(tokens: number, adapter: string | null): boolean {
    const { adapterPages } = this.#options;
    let others = 0;
    for (const pinned of this.memory.adapters.pinned) if (pinned !== adapter) others += adapterPages(pinned);
    const own = adapter === null ? 0 : adapterPages(adapter);
    return this.memory.couldHold(blocksFor(tokens), own + others);
  }

  add(sequence: Sequence): void {
    this.#waiting.add(sequence);
    if (sequence.deadline !== null) this.#withDeadline.add(sequence);
    this.#queue.arrive(sequence);
  }

  /** Takes a sequence out, wherever it is, and frees its pages. Only between runs. @param complete it was not cut short */
  remove(sequence: Sequence, complete = false): void {
    if (this.#running.has(sequence)) this.#release(sequence);
    else if (!this.#waiting.delete(sequence)) return;
    this.#withDeadline.delete(sequence);
    this.#queue.end(sequence);
    if (complete) this.lengths.observe(sequence.lengthKeys, sequence.output.length);
  }

  /** An adapter's weights are in its pages. */
  adapterLoaded(digest: string): void {
    this.#loading--;
    this.memory.adapters.loaded(digest);
  }

  /** An adapter could not be read. */
  adapterFailed(digest: string): void {
    this.#loading--;
    this.memory.adapters.failed(digest);
  }

  /**
   * The next step. An empty batch with sequences waiting means that all wait for adapters to load.
   * @param now seconds of a clock that never goes back
   */
  schedule(now: number): Schedule {
    this.#now = now;
    this.#promised = null;
    this.#greedy = undefined;
    const batch: ScheduledSequence[] = [];
    const { preemptions } = this;
    const yielding = this.#yieldingTenants();
    this.#scheduleDecodes(batch, (tenant) => !yielding.has(tenant));
    const decodes = batch.length;
    const loads = this.#schedulePrompts(batch, yielding);
    if (yielding.size > 0 && batch.length === decodes) {
      // Those for whom they should have yielded could not be read: nothing is won by waiting.
      this.#scheduleDecodes(batch, (tenant) => yielding.has(tenant));
      loads.push(...this.#schedulePrompts(batch, NOBODY));
    }
    const kept = preemptions === this.preemptions ? batch : this.#stillRunning(batch);
    const expired = [...this.#withDeadline].filter(
      (sequence) => this.#waiting.has(sequence) && sequence.deadline! < now && sequence.output.length === 0,
    );
    return { batch: kept, ...this.#ahead(kept), loads, expired };
  }

  /**
   * Growing a later sequence may have preempted one that was already in the batch; and that one may have begun again, from
   * what the prefix cache has of it: what was decided last holds.
   */
  #stillRunning(batch: readonly ScheduledSequence[]): ScheduledSequence[] {
    const parts = new Map<Sequence, ScheduledSequence>();
    for (const part of batch) if (this.#running.has(part.sequence)) parts.set(part.sequence, part);
    return [...parts.values()];
  }

  /** Books what a step computed, before the step's new tokens are known. */
  computed({ sequence, rows }: ScheduledSequence): void {
    sequence.computed += rows;
    this.#charge(sequence);
    this.#publish(sequence);
    if (sequence.computed === sequence.length && this.#queue.has(sequence)) this.#queue.leave(sequence);
  }

  /**
   * Seconds until a new sequence would be read, as far as can be told: what its tenant has waiting before it, at the
   * tenant's share of the machine, or until somebody leaves where no more can run.
   */
  predictedWait(sequence: Sequence): number {
    const { maxRunning } = this.#options;
    const batchSize = Math.max(1, Math.min(this.#running.size, maxRunning));
    const tokenSeconds = this.costs.decodeSeconds(batchSize) / batchSize;
    const seconds = (each: Sequence) =>
      this.costs.prefillSeconds(this.costs.prefillWork(each.computed, each.prompt.length - each.computed)) +
      this.#remaining(each) * tokenSeconds;
    let ahead = 0;
    const priority = PRIORITIES.indexOf(sequence.priority);
    let [ownWaits, weights] = [false, sequence.weight];
    for (const { tenant, weight } of this.#queue.shares) if (tenant !== sequence.tenant) weights += weight;
    for (const each of this.#waiting) {
      if (each.tenant !== sequence.tenant || PRIORITIES.indexOf(each.priority) > priority) continue;
      ahead += seconds(each);
      ownWaits = true;
    }
    if (ownWaits) return (ahead * weights) / sequence.weight;
    if (this.#running.size < maxRunning) return 0;
    let remaining = 0;
    for (const each of this.#running) remaining += this.#remaining(each);
    return (remaining / this.#running.size / maxRunning) * this.costs.decodeSeconds(batchSize);
  }

  /** Throws when a page is lost or owned twice, or a queue's books are wrong. For tests and simulations. */
  checkIntegrity(): void {
    this.memory.checkIntegrity();
    const owned = [...this.#running].flatMap(({ blocks, shared }) => blocks.slice(shared.length));
    const shared = new Set([...this.#running].flatMap((sequence) => sequence.shared));
    const pages = new Set([...owned, ...[...shared].map(({ page }) => page)]);
    if (pages.size !== owned.length + shared.size) throw new Error('two sequences own one page');
    if (pages.size !== this.memory.pool.count('kv')) throw new Error('a KV page has no sequence');
    for (const sequence of this.#running) {
      if (sequence.shared.some(({ page }, index) => sequence.blocks[index] !== page)) {
        throw new Error('a shared block is not where its sequence has it');
      }
    }
    for (const { blocks } of this.#waiting)
      if (blocks.length > 0) throw new Error('a waiting sequence holds pages');
  }

  /** Each of the chosen tenants' decoding sequences gets its next token. */
  #scheduleDecodes(batch: ScheduledSequence[], chosen: (tenant: string) => boolean): void {
    for (const sequence of this.#running) {
      if (batch.length === this.#options.maxBatchTokens) break;
      // One that was preempted and found all but its last token cached is still in line, and served from there.
      if (!sequence.isDecoding || this.#queue.has(sequence)) continue;
      if (!chosen(sequence.tenant) || !this.#grow(sequence)) continue;
      batch.push(sequence.decode);
    }
  }

  /**
   * Tenants whose streams pause while another's prompt is read: those with more than their share of what runs, where
   * the other has less and was not served much more. Without it a tenant's first token would wait for steps that are
   * as long as the others' streams are many.
   */
  #yieldingTenants(): ReadonlySet<string> {
    const { first } = this.#queue;
    if (first === undefined || this.#hasMoreThanShare(first.tenant)) return NOBODY;
    const yielding = new Set<string>();
    const served = this.#queue.counter(first.tenant);
    for (const tenant of this.#runningOf.keys()) {
      if (!this.#hasMoreThanShare(tenant)) continue;
      if (served <= this.#queue.counter(tenant) + MOST_AHEAD / first.weight) yielding.add(tenant);
    }
    return yielding;
  }

  /** Whether a tenant runs more sequences than its weight among those with work gives it of those that run. */
  #hasMoreThanShare(tenant: string, more = 0): boolean {
    const running = this.#runningOf.get(tenant) ?? 0;
    return running + more > Math.ceil(this.#running.size * this.#queue.share(tenant));
  }

  #hasPlaceFor(sequence: Sequence): boolean {
    return this.#running.size < this.#options.maxRunning || this.#inTheWayOf(sequence) !== null;
  }

  /** Sets somebody back so that a waiting sequence can begin. False: there is nobody. */
  #makeWay(sequence: Sequence, preempted: Sequence[]): boolean {
    const victim = this.#inTheWayOf(sequence);
    if (victim === null) return false;
    this.#setBack(victim);
    preempted.push(victim);
    return true;
  }

  /**
   * Who should make way for a waiting sequence: one of less priority, or else of the tenant that runs most where that
   * is far more than its share and the sequence's tenant has less than its own.
   */
  #inTheWayOf(sequence: Sequence): Sequence | null {
    const own = PRIORITIES.indexOf(sequence.priority);
    const greedy = this.#hasMoreThanShare(sequence.tenant, 1) ? null : this.#greediest();
    if (greedy === null && this.#runningAt.every((count, priority) => count === 0 || priority <= own))
      return null;
    let victim: Sequence | null = null;
    let worst = -1;
    for (const each of this.#running) {
      const priority = PRIORITIES.indexOf(each.priority);
      const fair = priority > own || (priority === own && each.tenant === greedy);
      if (fair && priority >= worst) [victim, worst] = [each, priority];
    }
    return victim;
  }

  /** The tenant that runs most, where that is so much more than its share that setting it back is worth the work lost. */
  #greediest(): string | null {
    if (this.#greedy === undefined) this.#greedy = this.#findGreediest();
    return this.#greedy;
  }

  #findGreediest(): string | null {
    let [greediest, most]: [string | null, number] = [null, 0];
    for (const [tenant, running] of this.#runningOf) {
      if (running <= most) continue;
      [greediest, most] = [tenant, running];
    }
    if (greediest === null) return null;
    const share = Math.ceil(this.#running.size * this.#queue.share(greediest));
    return most > FAR_MORE * share ? greediest : null;
  }

  /**
   * Cuts prompts into this step, admits waiting sequences, and starts to read adapters that will be needed; nothing for
   * tenants that yield.
   */
  #schedulePrompts(batch: ScheduledSequence[], yielding: ReadonlySet<string>): AdapterLoad[] {
    const { maxBatchTokens } = this.#options;
    const loads: AdapterLoad[] = [];
    const preempted: Sequence[] = [];
    const wanted = new Set<string>();
    // Reading ahead spares what was in sight the last time as well: otherwise those behind would be read and evicted in turns.
    const soon = new Set(this.#inSight);
    const inBatch = new Set<string>();
    if (this.#options.maxBatchAdapters !== null) {
      for (const { adapter } of this.#running) if (adapter !== null) inBatch.add(adapter);
    }
    let rowsLeft = maxBatchTokens - batch.length;
    let workLeft = this.#workBeside(batch.length);
    let [full, first, looked] = [false, true, 0];
    for (const pinned of this.memory.adapters.pinned) {
      if (this.memory.adapters.state(pinned) === 'absent') this.#load(pinned, wanted, loads);
    }
    const order = this.#queue.inOrder(this.#now);
    let service = 0;
    for (;;) {
      const { value: sequence, done } = order.next(service);
      service = 0;
      if (done || looked++ === LOOK_AHEAD) break;
      if (sequence.adapter !== null) {
        wanted.add(sequence.adapter);
        soon.add(sequence.adapter);
      }
      const open = rowsLeft > 0 && (first || workLeft > 0) && !yielding.has(sequence.tenant);
      if (!this.#running.has(sequence)) {
        if (full || !open || !this.#hasPlaceFor(sequence)) {
          if (!full) this.#loadAhead(sequence, soon, loads);
          continue;
        }
        const admission = this.#admit(sequence, wanted, inBatch, loads, preempted);
        full = admission === 'full';
        if (admission !== 'admitted') continue;
      } else if (!open) {
        continue;
      }
      const within = this.costs.rowsWithin(workLeft, sequence.computed);
      const most = first ? Math.max(within, LEAST_ROWS) : within;
      const rows = Math.min(rowsLeft, sequence.length - sequence.computed, most);
      if (rows === 0) {
        workLeft = 0;
        continue;
      }
      batch.push({ sequence, rows });
      rowsLeft -= rows;
      workLeft -= this.costs.prefillWork(sequence.computed, rows);
      service = Math.max(0, sequence.computed + rows - sequence.paid);
      first = false;
    }
    order.return();
    this.#inSight = wanted;
    for (const sequence of preempted) if (!this.#queue.has(sequence)) this.#queue.comeBack(sequence);
    return loads;
  }

  /** Work on prompts that fits beside so many decoding sequences. */
  #workBeside(decodeRows: number): number {
    if (decodeRows === 0) return Number.POSITIVE_INFINITY;
    const alone = this.costs.decodeSeconds(decodeRows);
    const target = this.#options.tpotTargetSeconds ?? Math.max(2 * alone, LEAST_TPOT_SECONDS);
    return this.costs.workIn(Math.max(0, target - alone));
  }

  /** Starts a waiting sequence if its adapter is here and there are pages for it. */
  #admit(
    sequence: Sequence,
    wanted: ReadonlySet<string>,
    inBatch: Set<string>,
    loads: AdapterLoad[],
    preempted: Sequence[],
  ): Admission {
    const { adapters, prefixes } = this.memory;
    const { adapter } = sequence;
    if (adapter !== null) {
      const state = adapters.state(adapter);
      if (state === 'absent' && !this.#load(adapter, wanted, loads)) {
        return this.#loading < MOST_LOADING ? 'full' : 'passed';
      }
      if (state !== 'resident') return 'passed';
      const most = this.#options.maxBatchAdapters;
      const patient = this.#now - sequence.arrived < PATIENCE_SECONDS;
      if (most !== null && inBatch.size >= most && !inBatch.has(adapter) && patient) return 'passed';
    }
    if (this.#running.size >= this.#options.maxRunning) this.#makeWay(sequence, preempted);
    const found = prefixes.longest(sequence.blockKey, sequence.sharableBlocks);
    for (let index = 0; index < found; index++) {
      sequence.shared.push(prefixes.acquire(sequence.blockKey(index), this.#now));
    }
    const needed = blocksFor(sequence.length) - found;
    let taken: number[] | null = null;
    do {
      if (this.#mayGrow(sequence, needed)) taken = this.memory.takeBlocks(needed, wanted);
    } while (taken === null && this.#makeWay(sequence, preempted));
    if (taken === null) {
      this.#unshare(sequence);
      return 'full';
    }
    sequence.blocks = [...sequence.shared.map(({ page }) => page), ...taken];
    sequence.computed = found * BLOCK_TOKENS;
    sequence.paid = Math.max(sequence.paid, sequence.computed);
    if (sequence.cached === null) {
      sequence.began = this.#now;
      sequence.cached = Math.min(sequence.computed, sequence.prompt.length);
      this.promptTokens.total += sequence.prompt.length;
      this.promptTokens.cached += sequence.cached;
    }
    if (adapter !== null) {
      adapters.retain(adapter, this.#now);
      inBatch.add(adapter);
    }
    this.#waiting.delete(sequence);
    this.#running.add(sequence);
    this.#greedy = undefined;
    if (this.#promised !== null) this.#promised += this.#growth(sequence, sequence.blocks.length);
    this.#runningOf.set(sequence.tenant, (this.#runningOf.get(sequence.tenant) ?? 0) + 1);
    this.#runningAt[PRIORITIES.indexOf(sequence.priority)]!++;
    return 'admitted';
  }

  /** Whether the pool has what all that run, and this one, will probably still need. */
  #mayGrow(sequence: Sequence, needed: number): boolean {
    if (this.#running.size === 0) return true;
    if (this.#promised === null) {
      this.#promised = 0;
      for (const each of this.#running) this.#promised += this.#growth(each, each.blocks.length);
    }
    const own = needed + this.#growth(sequence, blocksFor(sequence.length));
    return this.#promised + own <= this.memory.availableToBlocks;
  }

  /** Blocks that a sequence will probably need beyond those it has. */
  #growth(sequence: Sequence, blocks: number): number {
    return Math.max(0, blocksFor(sequence.length + this.#remaining(sequence)) - blocks);
  }

  /** Tokens that a sequence will probably still generate. */
  #remaining(sequence: Sequence): number {
    const { lengthKeys, output, maxTokens, expected } = sequence;
    // Asked of all that run at every step; that it fills another block tells little more.
    if (output.length >= expected.until) {
      expected.length = this.lengths.predict(lengthKeys, output.length, maxTokens);
      expected.until = Math.min(expected.length, output.length + BLOCK_TOKENS);
    }
    return expected.length - output.length;
  }

  /** Starts to read the adapter of a sequence that cannot start yet. */
  #loadAhead({ adapter }: Sequence, wanted: ReadonlySet<string>, loads: AdapterLoad[]): void {
    if (adapter === null || this.memory.adapters.state(adapter) !== 'absent') return;
    this.#load(adapter, wanted, loads);
  }

  /** Takes room for an absent adapter. False: there is none now, or enough are being read. */
  #load(adapter: string, wanted: ReadonlySet<string>, loads: AdapterLoad[]): boolean {
    if (this.#loading >= MOST_LOADING) return false;
    const pages = this.#options.adapterPages(adapter);
    if (!this.memory.makeRoomForAdapter(pages, wanted)) return false;
    loads.push(this.memory.adapters.reserve(adapter, pages, this.costs.loadSeconds(pages), this.#now));
    this.#loading++;
    return true;
  }

  /**
   * How long every sequence only decodes, has blocks, and does not reach its last token; and what may be drafted
   * meanwhile. Blocks are taken ahead as long as nobody waits for them and no sequence has to leave: for drafts too, which go no
   * further than a sequence's blocks.
   */
  #ahead(batch: readonly ScheduledSequence[]): Pick<Schedule, 'steps' | 'drafts'> {
    if (batch.length < this.#running.size || batch.some(({ sequence }) => !sequence.isDecoding)) {
      return { steps: 1, drafts: null };
    }
    const drafts = this.speculation.plan(
      batch.map(({ sequence }) => sequence),
      this.#options.maxBatchTokens,
    );
    let steps = MOST_STEPS;
    for (const { sequence } of batch) steps = Math.min(steps, sequence.maxTokens - sequence.output.length);
    for (const { sequence } of batch) {
      if (this.#waiting.size === 0) {
        const drafted = drafts === null ? 0 : this.speculation.tokensIn(sequence, steps) + MOST_DRAFTS;
        if (drafted <= steps || !this.#takeAhead(sequence, drafted)) this.#takeAhead(sequence, steps);
      }
      steps = Math.min(steps, sequence.blocks.length * BLOCK_TOKENS - sequence.computed);
    }
    return { steps: Math.max(steps, 1), drafts };
  }

  /** Takes blocks for so many more tokens, or for all that are still to come. False: there are not as many. */
  #takeAhead(sequence: Sequence, tokens: number): boolean {
    const most = Math.min(sequence.mostComputed, sequence.computed + tokens);
    const missing = blocksFor(most) - sequence.blocks.length;
    if (missing <= 0) return true;
    const taken = this.memory.takeBlocks(missing);
    if (taken !== null) sequence.blocks.push(...taken);
    return taken !== null;
  }

  /** Makes room for a decoding sequence's next token; preempts others, at worst the sequence itself. */
  #grow(sequence: Sequence): boolean {
    if (sequence.blocks.length >= blocksFor(sequence.computed + 1)) return true;
    for (;;) {
      const taken = this.memory.takeBlocks(1);
      if (taken !== null) {
        sequence.blocks.push(...taken);
        return true;
      }
      const victim = this.#victim();
      this.#preempt(victim);
      if (victim === sequence) return false;
    }
  }

  /** Of the least priority the tenant that was served most, and of its sequences the youngest. */
  #victim(): Sequence {
    let victim: Sequence | undefined;
    let [worst, counter] = [-1, 0];
    for (const sequence of this.#running) {
      const priority = PRIORITIES.indexOf(sequence.priority);
      if (priority < worst) continue;
      const served = this.#queue.counter(sequence.tenant);
      if (priority === worst && served < counter) continue;
      [victim, worst, counter] = [sequence, priority, served];
    }
    return victim!;
  }

  #preempt(sequence: Sequence): void {
    this.#setBack(sequence);
    if (!this.#queue.has(sequence)) this.#queue.comeBack(sequence);
  }

  /** Makes a running sequence wait. It is still to be put in line, unless it is. */
  #setBack(sequence: Sequence): void {
    this.#release(sequence);
    this.#waiting.add(sequence);
    this.preemptions++;
  }

  #release(sequence: Sequence): void {
    this.#running.delete(sequence);
    this.#promised = null;
    this.#greedy = undefined;
    this.#runningAt[PRIORITIES.indexOf(sequence.priority)]!--;
    const running = this.#runningOf.get(sequence.tenant)! - 1;
    if (running === 0) this.#runningOf.delete(sequence.tenant);
    else this.#runningOf.set(sequence.tenant, running);
    this.memory.pool.give(sequence.blocks.slice(sequence.shared.length), 'kv');
    this.#unshare(sequence);
    sequence.blocks = [];
    sequence.computed = 0;
    if (sequence.adapter !== null) this.memory.adapters.release(sequence.adapter);
  }

  #unshare(sequence: Sequence): void {
    for (let block = sequence.shared.pop(); block !== undefined; block = sequence.shared.pop()) {
      this.memory.prefixes.release(block);
    }
  }

  /** A tenant pays for every token once, however often preemption has it computed; what was cached is free. */
  #charge(sequence: Sequence): void {
    const { computed, paid, prompt } = sequence;
    if (computed <= paid) return;
    const input = Math.max(0, Math.min(computed, prompt.length) - paid);
    this.#queue.charge(sequence, input + OUTPUT_PRICE * (computed - paid - input));
    sequence.paid = computed;
  }

  /** Shares the blocks that have become full. */
  #publish(sequence: Sequence): void {
    if (!sequence.sharesBlocks) return;
    const full = Math.floor(Math.min(sequence.computed, sequence.length) / BLOCK_TOKENS);
    for (let index = sequence.shared.length; index < full; index++) {
      const from = index * BLOCK_TOKENS;
      const block = this.memory.prefixes.publish(
        sequence.blockKey(index),
        sequence.shared[index - 1] ?? null,
        sequence.blockOwner,
        sequence.blocks[index]!,
        this.costs.prefillSeconds(this.costs.prefillWork(from, BLOCK_TOKENS)),
        from + BLOCK_TOKENS <= sequence.prompt.length ? 'prompt' : 'output',
        this.#now,
      );
      sequence.blocks[index] = block.page;
      sequence.shared.push(block);
    }
  }
}
