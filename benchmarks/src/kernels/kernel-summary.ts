import { ratioSpread, type Spread, spread } from '../statistics.ts';
import type { Amounts, KernelRound, Limits, Part } from './rust-bench.ts';

/** What a case gave over its rounds. */
export interface KernelCase {
  readonly kernel: string;
  readonly name: string;
  readonly sides: readonly KernelSide[];
}

export interface KernelSide {
  readonly name: string;
  readonly parts: readonly KernelPart[];
  /** Of the whole; by what the first side takes, within each round. */
  readonly timesFirst: Spread;
  /**
   * Where it reads more than the first side: the least time for those bytes ÷ the time that it takes more, within each
   * round. Above 1 where their reading overlaps with what both sides compute.
   */
  readonly shareOfAdded: Spread | null;
}

export interface KernelPart {
  readonly name: string;
  readonly work: Amounts;
  readonly seconds: Spread;
  /** What bounds it; null where its work is not known. */
  readonly limit: keyof Amounts | null;
  /** The least time that the limit allows ÷ the time taken, within each round. */
  readonly shareOfLimit: Spread | null;
}

/** Puts the rounds of each case together. */
export function summarize(rounds: readonly KernelRound[]): KernelCase[] {
  const cases = groupBy(rounds, (round) => `${round.kernel}: ${round.case}`);
  return [...cases.values()].map((ofCase) => {
    const [first] = ofCase;
    if (first === undefined) throw new Error('a case has no round');
    const base = first.sides[0]?.name ?? '';
    return {
      kernel: first.kernel,
      name: first.case,
      sides: first.sides.map(({ name, parts }) => ({
        name,
        parts: parts.map((part) => summarizePart(ofCase, name, part.name)),
        timesFirst: ratioSpread(secondsOf(ofCase, name), secondsOf(ofCase, base)),
        shareOfAdded: shareOfAdded(ofCase, base, name),
      })),
    };
  });
}

function shareOfAdded(rounds: readonly KernelRound[], base: string, side: string): Spread | null {
  const added = rounds.map((round) => {
    const [less, more] = [partOf(round, base), partOf(round, side)];
    return {
      least: (more.bytes - less.bytes) / (round.limits.bytes ?? Number.NaN),
      seconds: more.seconds - less.seconds,
    };
  });
  if (added.some(({ least }) => !(least > 0))) return null;
  return ratioSpread(
    added.map(({ least }) => least),
    added.map(({ seconds }) => seconds),
  );
}

/** Seconds of a side's whole in each round. */
export function secondsOf(rounds: readonly KernelRound[], side: string, part = 'all'): number[] {
  return rounds.map((round) => partOf(round, side, part).seconds);
}

/** @throws Error where there is no such part. */
export function partOf(round: KernelRound, side: string, part = 'all'): Part {
  const found = round.sides.find(({ name }) => name === side)?.parts.find(({ name }) => name === part);
  if (found === undefined) throw new Error(`${round.kernel}, ${round.case}: there is no ${side}, ${part}`);
  return found;
}

function summarizePart(rounds: readonly KernelRound[], side: string, name: string): KernelPart {
  const parts = rounds.map((round) => ({ limits: round.limits, part: partOf(round, side, name) }));
  const bounds = parts.map(({ limits, part }) => bound(part, limits));
  const shares = bounds.map(
    (bounding, index) => (bounding?.seconds ?? 0) / (parts[index]?.part.seconds ?? 1),
  );
  const [first] = parts;
  if (first === undefined) throw new Error('a part has no round');
  const { bytes, int8, float } = first.part;
  return {
    name,
    work: { bytes, int8, float },
    seconds: spread(parts.map(({ part }) => part.seconds)),
    limit: bounds[0]?.limit ?? null,
    shareOfLimit: bounds[0] == null ? null : spread(shares),
  };
}

/** The least time that the work can take, and what makes it so long. */
function bound(work: Amounts, limits: Limits): { limit: keyof Amounts; seconds: number } | null {
  const times = (['bytes', 'int8', 'float'] as const).map((limit) => ({
    limit,
    seconds: limits[limit] === null ? 0 : work[limit] / limits[limit],
  }));
  const longest = times.reduce((most, time) => (time.seconds > most.seconds ? time : most));
  return longest.seconds === 0 ? null : longest;
}

/** The values by a key of theirs, keys in the order of their first values. */
export function groupBy<Value>(
  values: readonly Value[],
  key: (value: Value) => string,
): ReadonlyMap<string, readonly Value[]> {
  const groups = new Map<string, Value[]>();
  for (const value of values) {
    const group = groups.get(key(value));
    if (group === undefined) groups.set(key(value), [value]);
    else group.push(value);
  }
  return groups;
}
