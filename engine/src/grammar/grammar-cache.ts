import { createHash } from 'node:crypto';
import type { Grammar, GrammarCompiler, GrammarCursor, GrammarSource } from '@polylora/engine-native';
import { type Constraint, EngineError, type Times } from '../types.ts';
import { costOf, costOfInlineSchemas } from './costly-schema.ts';
import { gbnfToLark, isGbnf } from './gbnf.ts';
import { Lane } from './lane.ts';

/** What grammars may take. */
export interface GrammarLimits {
  /** Compiled grammars kept for requests to come, and about how many bytes they may have together. */
  readonly cached: number;
  readonly cachedBytes: number;
  /** What the grammars of running and waiting requests may have together. */
  readonly usedBytes: number;
  /** Grammars of one tenant that may wait to be compiled. */
  readonly waiting: number;
  /** For which one may be compiled before its requests are refused and others go on. */
  readonly seconds: number;
  /** Those that were given up and are compiled still, each in a thread that cannot be ended: one of a tenant, and this many of all. */
  readonly givenUp: number;
}

export const GRAMMAR_LIMITS: GrammarLimits = {
  cached: 512,
  cachedBytes: 256 * 2 ** 20,
  usedBytes: 1024 * 2 ** 20,
  waiting: 64,
  seconds: 5,
  // Of the four threads that Node has for such work.
  givenUp: 2,
};

/** Grammars that took too long, remembered so that nobody waits for them again. */
const MOST_SLOW = 1_000;

/** Upper ends of the buckets in which compilations are counted, in seconds. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

export interface GrammarCacheStats {
  readonly cached: number;
  readonly cachedBytes: number;
  /** Requests whose grammar was compiled already. */
  readonly hits: number;
  readonly compilations: Times;
}

/** A request's place in its grammar. */
export interface GrammarLease {
  readonly cursor: GrammarCursor;
  /** The request has ended. To be called once. */
  release(): void;
}

interface Entry {
  readonly grammar: Promise<Grammar>;
  /** 0 while it is compiled. */
  bytes: number;
  /** Requests that are about to begin with it. */
  users: number;
}

/**
 * The grammars of requests, compiled once and kept while there is room; the one that was used longest ago goes first. What one
 * tenant has compiled is not found by another: how long it takes would tell.
 */
export class GrammarCache {
  readonly #compiler: GrammarCompiler;
  readonly #limits: GrammarLimits;
  /** In the order of their last use. */
  readonly #entries = new Map<string, Entry>();
  /** Native work runs in lanes, because it takes threads that steps of the model need too. */
  readonly #compiling = new Lane();
  readonly #copying = new Lane();
  /** A tenant has one grammar in the common lane, however many wait. */
  readonly #tenants = new Map<string, Lane>();
  readonly #times = { count: 0, seconds: 0, buckets: BUCKETS.map((seconds) => ({ seconds, count: 0 })) };
  /** Whose grammars were given up and are compiled still. */
  readonly #givenUp = new Set<string>();
  readonly #slow = new Set<string>();
  #cachedBytes = 0;
  #usedBytes = 0;
  #hits = 0;

  constructor(compiler: GrammarCompiler, limits: GrammarLimits = GRAMMAR_LIMITS) {
    this.#compiler = compiler;
    this.#limits = limits;
  }

  /**
   * Where an answer begins that must keep to a constraint.
   *
   * @throws EngineError `invalid_schema` or `invalid_grammar` where it cannot be compiled, `engine_overloaded` where as many
   * grammars wait or are in use as may, or one of the tenant's that was given up is compiled still
   */
  async begin(tenant: string, constraint: Constraint, signal?: AbortSignal): Promise<GrammarLease> {
    const key = keyOf(tenant, constraint);
    const entry = this.#entry(key, tenant, constraint);
    entry.users++;
    let gone = false;
    const leave = () => {
      if (!gone) entry.users--;
      gone = true;
    };
    signal?.addEventListener('abort', leave, { once: true });
    if (signal?.aborted) leave();
    try {
      const grammar = await entry.grammar;
      return await this.#lease(grammar, entry.bytes);
    } finally {
      signal?.removeEventListener('abort', leave);
      leave();
      this.#evict();
    }
  }

  get stats(): GrammarCacheStats {
    return {
      cached: this.#entries.size,
      cachedBytes: this.#cachedBytes,
      hits: this.#hits,
      compilations: { ...this.#times, buckets: this.#times.buckets.map((bucket) => ({ ...bucket })) },
    };
  }

  #entry(key: string, tenant: string, constraint: Constraint): Entry {
    const known = this.#entries.get(key);
    if (known !== undefined) {
      this.#hits++;
      this.#entries.delete(key);
      this.#entries.set(key, known);
      return known;
    }
    if (this.#slow.has(key)) throw this.#tooSlow(constraint);
    this.#refuseBesideGivenUp(tenant);
    const lane = this.#tenants.get(tenant) ?? new Lane();
    if (lane.length >= this.#limits.waiting) {
      throw new EngineError('engine_overloaded', `${lane.length} grammars wait to be compiled already`, {
        retryAfterSeconds: 1,
      });
    }
    this.#tenants.set(tenant, lane);
    const grammar = lane.run(() => this.#compiling.run(() => this.#compile(entry, key, tenant, constraint)));
    const entry: Entry = { grammar, bytes: 0, users: 0 };
    this.#entries.set(key, entry);
    void grammar
      .catch(() => this.#entries.delete(key))
      .finally(() => {
        if (lane.length === 0) this.#tenants.delete(tenant);
      });
    return entry;
  }

  async #compile(entry: Entry, key: string, tenant: string, constraint: Constraint): Promise<Grammar> {
    // Whoever asked for it has left.
    if (entry.users === 0) throw new EngineError('internal_error', 'nobody waits for the grammar');
    // What came to wait before another of the tenant's was given up.
    this.#refuseBesideGivenUp(tenant);
    const cost = costOfConstraint(constraint);
    if (cost !== null) throw invalid(constraint, cost);
    const started = performance.now();
    const compiled = this.#compiler.compile(sourceOf(constraint));
    const outcome = await within(this.#limits.seconds, compiled);
    this.#count((performance.now() - started) / 1000);
    if (outcome === null) {
      this.#giveUp(key, tenant, compiled);
      throw this.#tooSlow(constraint);
    }
    if ('place' in outcome) throw invalid(constraint, outcome.message, outcome.place);
    entry.bytes = outcome.bytes;
    this.#cachedBytes += entry.bytes;
    return outcome;
  }

  /** Its thread goes on until it is done: the tenant compiles nothing more meanwhile. */
  #giveUp(key: string, tenant: string, compiled: ReturnType<GrammarCompiler['compile']>): void {
    this.#slow.add(key);
    for (const oldest of this.#slow) {
      if (this.#slow.size <= MOST_SLOW) break;
      this.#slow.delete(oldest);
    }
    this.#givenUp.add(tenant);
    void compiled
      .then(
        (outcome) => {
          if (!('place' in outcome)) outcome.release();
        },
        () => {},
      )
      .finally(() => this.#givenUp.delete(tenant));
  }

  #refuseBesideGivenUp(tenant: string): void {
    if (!this.#givenUp.has(tenant) && this.#givenUp.size < this.#limits.givenUp) return;
    throw new EngineError('engine_overloaded', 'a grammar that takes too long is compiled still', {
      retryAfterSeconds: this.#limits.seconds,
    });
  }

  #tooSlow(constraint: Constraint): EngineError {
    return invalid(constraint, `it takes longer than ${this.#limits.seconds} s to compile`);
  }

  async #lease(grammar: Grammar, bytes: number): Promise<GrammarLease> {
    if (this.#usedBytes > 0 && this.#usedBytes + bytes > this.#limits.usedBytes) {
      throw new EngineError(
        'engine_overloaded',
        'the grammars of running requests take all the room there is',
        {
          retryAfterSeconds: 1,
        },
      );
    }
    this.#usedBytes += bytes;
    try {
      const cursor = await this.#copying.run(() => grammar.begin());
      return {
        cursor,
        release: () => {
          this.#usedBytes -= bytes;
        },
      };
    } catch (error) {
      this.#usedBytes -= bytes;
      throw error;
    }
  }

  #count(seconds: number): void {
    this.#times.count++;
    this.#times.seconds += seconds;
    for (const bucket of this.#times.buckets) if (seconds <= bucket.seconds) bucket.count++;
  }

  #evict(): void {
    for (const [key, entry] of this.#entries) {
      if (this.#entries.size <= this.#limits.cached && this.#cachedBytes <= this.#limits.cachedBytes) return;
      if (entry.users > 0 || entry.bytes === 0) continue;
      this.#entries.delete(key);
      this.#cachedBytes -= entry.bytes;
      void entry.grammar.then((grammar) => grammar.release());
    }
  }
}

function costOfConstraint(constraint: Constraint): string | null {
  if (constraint.kind === 'json_schema') return costOf(constraint.schema);
  return constraint.kind === 'grammar' ? costOfInlineSchemas(constraint.grammar) : null;
}

function invalid(constraint: Constraint, message: string, place = ''): EngineError {
  const code = constraint.kind === 'json_schema' ? 'invalid_schema' : 'invalid_grammar';
  const at = place === '' ? '' : `, at ${place}`;
  return new EngineError(code, `Invalid ${constraint.field}${at}: ${message}.`);
}

/** What comes of it within so many seconds; null: not yet. */
async function within<T>(seconds: number, result: Promise<T>): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), seconds * 1000);
  });
  try {
    return await Promise.race([result, late]);
  } finally {
    clearTimeout(timer);
  }
}

function keyOf(tenant: string, constraint: Constraint): string {
  const { field: _, ...what } = constraint;
  return createHash('sha256')
    .update(JSON.stringify([tenant, what]))
    .digest('base64');
}

function sourceOf(constraint: Constraint): GrammarSource {
  switch (constraint.kind) {
    case 'json_schema':
      return { kind: 'json_schema', text: constraint.schema, lenient: constraint.lenient };
    case 'json_object':
      return { kind: 'json_object' };
    case 'regex':
      return { kind: 'regex', text: constraint.pattern };
    case 'choice':
      return { kind: 'choice', choices: [...constraint.choices] };
    case 'grammar': {
      const { grammar } = constraint;
      return { kind: 'lark', text: isGbnf(grammar) ? gbnfToLark(grammar) : grammar };
    }
  }
}
