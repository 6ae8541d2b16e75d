import type { AdapterRelease, Details } from './client.ts';
import { CommandError } from './errors.ts';
import { byteText, timeText } from './text.ts';

const DIGEST_START = /^[0-9a-f]{6,64}$/;
const THE_SAME = '(the same)';

/**
 * The release that a word stands for: `v3`, a tag, or the beginning of a digest. A tag comes first: it may look like
 * the beginning of a digest.
 * @throws CommandError where it is none, or more than one
 */
export function findRelease({ name, tags, releases }: Details, version: string): AdapterRelease {
  const tagged = Object.hasOwn(tags, version) ? tags[version] : undefined;
  const start = version.replace(/^sha256:/, '');
  const found = releases.filter(({ release, digest }) => {
    if (tagged !== undefined) return digest === tagged;
    return release === version || (DIGEST_START.test(start) && digest.startsWith(start));
  });
  const [newest] = found;
  if (newest === undefined) throw new CommandError(`'${name}' has no version '${version}'.`);
  // The same content may have been released more than once.
  if (found.some(({ digest }) => digest !== newest.digest)) {
    throw new CommandError(`'${version}' begins the digests of several versions of '${name}'.`);
  }
  return newest;
}

interface Comparison {
  readonly field: string;
  readonly a: string;
  readonly b: string;
}

/** Two versions field by field, as people read them. */
export function compare(a: AdapterRelease, b: AdapterRelease): Comparison[] {
  const modules = [...new Set([...Object.keys(a.ranks), ...Object.keys(b.ranks)])];
  const fields: [string, (release: AdapterRelease) => string][] = [
    ['digest', ({ digest }) => digest],
    ['base', ({ base_digest }) => base_digest],
    ['size', ({ bytes }) => `${byteText(bytes)} (${bytes})`],
    ['kind', ({ kind }) => kind],
    ...modules.map((module): [string, (release: AdapterRelease) => string] => [
      `rank of ${module}`,
      ({ ranks }) => (Object.hasOwn(ranks, module) ? `${ranks[module]}` : '-'),
    ]),
    ['created', ({ created }) => timeText(created * 1000)],
    ['source', ({ source }) => sourceText(source)],
    ['parent', ({ parent }) => parent ?? '-'],
    ['pinned', ({ pinned }) => (pinned ? 'yes' : 'no')],
    ['note', ({ note }) => note ?? '-'],
  ];
  return fields.map(([field, read]) => ({ field, a: read(a), b: read(b) }));
}

/** The rows of a table, where the second column says so when it is the first again. */
export function comparisonRows(
  names: readonly [string, string],
  comparisons: readonly Comparison[],
): (readonly string[])[] {
  return [['', ...names], ...comparisons.map(({ field, a, b }) => [field, a, a === b ? THE_SAME : b])];
}

/** `upload`, or where it came from: `hub: repo acme/x, commit 1f…`. */
function sourceText({ kind, ...rest }: AdapterRelease['source']): string {
  const parts = Object.entries(rest).map(([key, value]) => `${key} ${String(value)}`);
  return parts.length === 0 ? kind : `${kind}: ${parts.join(', ')}`;
}

/** `q_proj, v_proj: 8; down_proj: 16`: modules of the same rank share it. */
export function ranksText(ranks: AdapterRelease['ranks']): string {
  const byRank = new Map<number, string[]>();
  for (const [module, rank] of Object.entries(ranks)) {
    byRank.set(rank, [...(byRank.get(rank) ?? []), module]);
  }
  return [...byRank].map(([rank, modules]) => `${rank} (${modules.join(', ')})`).join(', ');
}
