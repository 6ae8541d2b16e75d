import { KINDS_OF, OPPOSITES_OF, SYNONYMS_OF, share } from './lexicon.ts';
import type { Word, Wording } from './wording.ts';

/** Beyond so many words without a partner, none is looked for among the ones that look alike. */
const MOST_COMPARED = 48;

/** What is told of two wordings, in this order. */
export const WORDING_FEATURES = [
  'unmatchedLess',
  'unmatchedMore',
  'unmatchedShare',
  'exactShare',
  'oneForOne',
  'oneAdded',
  'numbersLess',
  'numbersMore',
  'numbersAny',
  'quantitiesUnmatched',
  'negationsDiffer',
  'opposites',
  'siblings',
  'namesLess',
  'namesMore',
  'quotedUnmatched',
  'askedDiffers',
  'rolesDiffer',
  'rolesSwapped',
  'orderChanged',
  'synonyms',
  'typos',
  'lengthRatio',
  'shorter',
] as const;

/** Compares two wordings. The same whichever comes first. */
export function wordingFeatures(a: Wording, b: Wording): Float64Array {
  const match = matched(a.words, b.words);
  const restA = a.words.filter((_, index) => match.ofA[index] === -1);
  const restB = b.words.filter((_, index) => match.ofB[index] === -1);
  const contentA = restA.filter(({ kind }) => kind === 'content');
  const contentB = restB.filter(({ kind }) => kind === 'content');
  const [less, more] = sorted(contentA.length, contentB.length);
  const numbers = sorted(count(restA, 'number'), count(restB, 'number'));
  const names = sorted(
    contentA.filter(({ isName }) => isName).length,
    contentB.filter(({ isName }) => isName).length,
  );
  const { opposites, siblings } = relations(restA, restB);
  const total = a.words.length + b.words.length;
  const lengths = sorted(a.words.length, b.words.length);
  const order = orderOf(a.words, b.words, match.ofA);
  return Float64Array.of(
    capped(less),
    capped(more),
    (restA.length + restB.length) / Math.max(1, total),
    (2 * match.exact) / Math.max(1, total),
    less === 1 && more === 1 ? 1 : 0,
    less === 0 && more > 0 ? 1 : 0,
    capped(numbers[0]),
    capped(numbers[1]),
    numbers[1] > 0 ? 1 : 0,
    capped(count(restA, 'quantity') + count(restB, 'quantity')),
    (a.negations + b.negations) % 2,
    capped(opposites),
    capped(siblings),
    capped(names[0]),
    capped(names[1]),
    capped([...restA, ...restB].filter(({ isQuoted }) => isQuoted).length),
    differing(a.asked, b.asked),
    capped(order.roles),
    order.swapped,
    order.inversions,
    capped(match.synonyms),
    capped(match.typos),
    lengths[1] === 0 ? 1 : lengths[0] / lengths[1],
    Math.min(1, lengths[0] / 20),
  );
}

/** Counts above tell no more. */
function capped(value: number): number {
  return Math.min(value, 6) / 3;
}

function sorted(one: number, other: number): [number, number] {
  return one < other ? [one, other] : [other, one];
}

function count(words: readonly Word[], kind: Word['kind']): number {
  return words.reduce((sum, word) => sum + (word.kind === kind ? 1 : 0), 0);
}

interface Match {
  /** The other's word for each, or −1. */
  readonly ofA: Int32Array;
  readonly ofB: Int32Array;
  readonly exact: number;
  readonly synonyms: number;
  readonly typos: number;
}

function matched(a: readonly Word[], b: readonly Word[]): Match {
  const ofA = new Int32Array(a.length).fill(-1);
  const ofB = new Int32Array(b.length).fill(-1);
  const pair = (accepts: (one: Word, other: Word) => boolean) => {
    let found = 0;
    for (let i = 0; i < a.length; i++) {
      if (ofA[i] !== -1) continue;
      const j = b.findIndex((word, index) => ofB[index] === -1 && accepts(a[i]!, word));
      if (j === -1) continue;
      [ofA[i], ofB[j]] = [j, i];
      found += 1;
    }
    return found;
  };
  // Words that play the same part first: with two equal numbers in a text each has its own partner.
  let exact = pair((one, other) => one.form === other.form && one.role === other.role);
  exact += pair((one, other) => one.form === other.form);
  const open = ofA.reduce((sum, at) => sum + (at === -1 ? 1 : 0), 0);
  if (open === 0 || open > MOST_COMPARED || b.length - a.length + open > MOST_COMPARED) {
    return { ofA, ofB, exact, synonyms: 0, typos: 0 };
  }
  const synonyms = pair(
    (one, other) =>
      one.kind !== 'number' &&
      (share(SYNONYMS_OF, one.plain, other.plain) || share(SYNONYMS_OF, one.form, other.form)),
  );
  const typos = pair((one, other) => looksAlike(one, other));
  return { ofA, ofB, exact, synonyms, typos };
}

/** Two spellings of one word, where neither is a number, and both are not words that are known as different. */
function looksAlike(a: Word, b: Word): boolean {
  if (a.kind !== 'content' || b.kind !== 'content') return false;
  const [one, other] = [a.form, b.form];
  if (Math.min(one.length, other.length) < 4 || one[0] !== other[0]) return false;
  if (/\p{N}/u.test(one) || /\p{N}/u.test(other))
    return one.replace(/[_-]/g, '') === other.replace(/[_-]/g, '');
  if (isRelated(a, b, OPPOSITES_OF) || share(KINDS_OF, a.plain, b.plain)) return false;
  if (a.isQuoted !== b.isQuoted && a.isName && b.isName) return false;
  return isOneEditApart(one, other);
}

function isRelated(a: Word, b: Word, pairs: ReadonlySet<string>): boolean {
  return pairs.has(`${a.plain} ${b.plain}`) || pairs.has(`${a.form} ${b.form}`);
}

/** One letter more, less, other, or two swapped. */
function isOneEditApart(one: string, other: string): boolean {
  const [short, long] = one.length <= other.length ? [one, other] : [other, one];
  if (long.length - short.length > 1) return false;
  let from = 0;
  while (from < short.length && short[from] === long[from]) from += 1;
  if (short.length < long.length) return short.slice(from) === long.slice(from + 1);
  if (short.slice(from + 1) === long.slice(from + 1)) return true;
  return (
    short[from] === long[from + 1] &&
    short[from + 1] === long[from] &&
    short.slice(from + 2) === long.slice(from + 2)
  );
}

/** How many of the words without a partner have an opposite or another of their kind on the other side. */
function relations(a: readonly Word[], b: readonly Word[]) {
  let [opposites, siblings] = [0, 0];
  if (a.length > MOST_COMPARED || b.length > MOST_COMPARED) return { opposites, siblings };
  for (const one of a) {
    if (b.some((other) => isRelated(one, other, OPPOSITES_OF))) opposites += 1;
    if (b.some((other) => share(KINDS_OF, one.plain, other.plain) || share(KINDS_OF, one.form, other.form))) {
      siblings += 1;
    }
  }
  return { opposites, siblings };
}

function differing(a: readonly string[], b: readonly string[]): number {
  if (a.length === 0 || b.length === 0) return 0;
  return a.some((word) => b.includes(word)) ? 0 : 1;
}

function orderOf(a: readonly Word[], b: readonly Word[], ofA: Int32Array) {
  let [roles, inversions, pairs] = [0, 0, 0];
  const given = new Set<string>();
  let swapped = 0;
  for (let i = 0; i < a.length; i++) {
    const j = ofA[i]!;
    if (j === -1) continue;
    const [one, other] = [a[i]!.role, b[j]!.role];
    if (one !== '' && other !== '' && one !== other) {
      roles += 1;
      // Two words that each have what the other had: the direction is the reverse.
      if (given.has(`${other} ${one}`)) swapped = 1;
      given.add(`${one} ${other}`);
    }
    for (let k = i + 1; k < a.length; k++) {
      if (ofA[k] === -1) continue;
      pairs += 1;
      if (ofA[k]! < j) inversions += 1;
    }
  }
  return { roles, swapped, inversions: pairs === 0 ? 0 : inversions / pairs };
}
