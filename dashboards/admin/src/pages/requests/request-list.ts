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
