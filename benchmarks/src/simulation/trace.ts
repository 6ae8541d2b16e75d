import { type LogNormal, Random, Zipf } from './random.ts';

/** What users do. */
export interface TraceOptions {
  readonly requests: number;
  readonly sessionsPerSecond: number;
  /** Times the usual rate, for some seconds in every few minutes; null: it is always the same. */
  readonly bursts: { readonly factor: number; readonly seconds: number; readonly every: number } | null;
  /** Weights of the tenants. The first comes most often, by Zipf's law. */
  readonly tenants: readonly number[];
  readonly adapters: number;
  /** Exponent of Zipf's law for adapters; 0: all are asked for equally often. */
  readonly adapterSkew: number;
  /** After so many seconds other adapters are the popular ones; null: never. */
  readonly driftSeconds: number | null;
  /** Sessions on the base model. */
  readonly baseShare: number;
  /** Sessions of several turns, and those that bring one long prompt that never comes again; the rest ask once. */
  readonly conversationShare: number;
  readonly oneOffShare: number;
  /** Mean turns of a conversation, and mean seconds between an answer and the next question. */
  readonly turns: number;
  readonly thinkSeconds: number;
  /** Tokens of what a tenant always says first to an adapter. */
  readonly system: LogNormal;
  readonly question: LogNormal;
  readonly document: LogNormal;
  readonly answer: LogNormal;
}

export interface Turn {
  readonly questionTokens: number;
  readonly answerTokens: number;
  readonly thinkSeconds: number;
}

/** A user who comes, asks, reads, and asks again. */
export interface Session {
  readonly arrives: number;
  readonly tenant: number;
  /** null: the base model. */
  readonly adapter: number | null;
  /** What its prompt begins with, as `tokensOf` takes it; null: a document of its own. */
  readonly system: { readonly from: number; readonly tokens: number } | null;
  readonly turns: readonly Turn[];
}

export interface Trace {
  readonly options: TraceOptions;
  readonly sessions: readonly Session[];
  readonly requests: number;
}

/** Longest that a conversation may become, as the default model's context. */
const MOST_TOKENS = 8192;
/** What a request asks for at most; its answer ends by itself before that. */
export const MAX_TOKENS = 512;

/** The same trace for the same seed. */
export function makeTrace(options: TraceOptions, seed: number): Trace {
  const random = new Random(seed);
  const tenants = new Zipf(options.tenants.length, 1);
  const adapters = new Zipf(options.adapters, options.adapterSkew);
  const systems = new Map<string, { from: number; tokens: number }>();
  const sessions: Session[] = [];
  let [arrives, requests, systemTokens] = [0, 0, 0];
  while (requests < options.requests) {
    arrives += random.exponential(1 / rateAt(options, arrives));
    const tenant = tenants.draw(random);
    const popular = adapters.draw(random);
    const moved = options.driftSeconds === null ? 0 : Math.floor(arrives / options.driftSeconds);
    // Far enough that few of the popular ones stay popular.
    const number = (popular + moved * Math.ceil(options.adapters / 3)) % options.adapters;
    const adapter = random.next() < options.baseShare ? null : number;
    const sort = random.next();
    let system: Session['system'] = null;
    const turns: Turn[] = [];
    if (sort < options.oneOffShare) {
      turns.push({ ...turn(options, random), questionTokens: random.logNormal(options.document) });
    } else {
      const key = `${tenant} ${adapter}`;
      const known = systems.get(key) ?? { from: systemTokens, tokens: random.logNormal(options.system) };
      if (!systems.has(key)) systemTokens += known.tokens;
      systems.set(key, known);
      system = known;
      const more = 1 - 1 / options.turns;
      let length = system.tokens;
      do {
        const next = turn(options, random);
        length += next.questionTokens + next.answerTokens;
        if (length + MAX_TOKENS > MOST_TOKENS && turns.length > 0) break;
        turns.push(next);
      } while (sort < options.oneOffShare + options.conversationShare && random.next() < more);
    }
    requests += turns.length;
    sessions.push({ arrives, tenant, adapter, system, turns });
  }
  return { options, sessions, requests };
}

/** Tokens that nobody else's text has. */
export function tokensOf(from: number, count: number): Uint32Array {
  const tokens = new Uint32Array(count);
  for (let index = 0; index < count; index++) tokens[index] = from + index;
  return tokens;
}

function turn({ question, answer, thinkSeconds }: TraceOptions, random: Random): Turn {
  return {
    questionTokens: random.logNormal(question),
    answerTokens: random.logNormal(answer),
    thinkSeconds: random.exponential(thinkSeconds),
  };
}

function rateAt({ sessionsPerSecond, bursts }: TraceOptions, time: number): number {
  if (bursts === null || time % bursts.every >= bursts.seconds) return sessionsPerSecond;
  return sessionsPerSecond * bursts.factor;
}
