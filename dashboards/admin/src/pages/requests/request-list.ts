/** Requests as they begin and end, the newest first. */
import type { RequestEntry, RequestState } from '../../api/types.ts';

/** More are not kept in the page; the server has as many. */
const MOST = 1_000;

export interface RequestFilter {
  readonly tenant: string;
  readonly model: string;
  readonly route: string;
  readonly state: RequestState | '';
}

/** What is known of the requests. */
export interface KnownRequests {
  readonly list: readonly RequestEntry[];
  /** How often the stream was opened: what was asked for before the last time is not news. */
  readonly opening: number;
  /** What came since then, until the server has told what there was; null afterwards. */
  readonly came: readonly RequestEntry[] | null;
}

export type RequestNews =
  | { readonly kind: 'opened' }
  /** Requests began and ended. */
  | { readonly kind: 'came'; readonly entries: readonly RequestEntry[] }
  /** A page of the list, that was asked for after so many openings. */
  | { readonly kind: 'page'; readonly opening: number; readonly entries: readonly RequestEntry[] };

export const NO_REQUESTS: KnownRequests = { list: [], opening: 0, came: [] };

/**
 * What is known with what is new. Nobody tells what has happened while there was no stream: a request that ran may have ended, or be of a
 * server that is not there any more. So the first page after an opening, with what came since, is all there is, and what was known
 * before stays only until it comes.
 */
export function withNews({ list, opening, came }: KnownRequests, news: RequestNews): KnownRequests {
  switch (news.kind) {
    case 'opened':
      return { list, opening: opening + 1, came: [] };
    case 'came':
      return {
        list: merged(list, news.entries),
        opening,
        came: came === null ? null : merged(came, news.entries),
      };
    case 'page':
      // Another one is on its way.
      if (news.opening !== opening) return { list, opening, came };
      return { list: merged(came ?? list, news.entries), opening, came: null };
  }
}

/** The list with entries that came: each takes the place of the one with its id, or its place in time. */
export function merged(
  list: readonly RequestEntry[],
  entries: readonly RequestEntry[],
): readonly RequestEntry[] {
  const byId = new Map(list.map((entry) => [entry.id, entry]));
  for (const entry of entries) {
    const known = byId.get(entry.id);
    // A page that was asked for earlier may come later than the end of a request that runs in it.
    if (known === undefined || known.state === 'running') byId.set(entry.id, entry);
  }
  return [...byId.values()].sort((a, b) => b.at - a.at).slice(0, MOST);
}

/** What the server would leave out as well; an empty field leaves nothing out. */
export function passes(entry: RequestEntry, { tenant, model, route, state }: RequestFilter): boolean {
  return (
    (tenant === '' || entry.tenant === tenant) &&
    (model === '' || entry.model === model) &&
    (route === '' || entry.route === route) &&
    (state === '' || entry.state === state)
  );
}
