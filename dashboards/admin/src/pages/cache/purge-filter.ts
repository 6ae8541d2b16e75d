/** Which entries are taken out. An empty field is none. */
export interface PurgeFilter {
  readonly id: string;
  readonly tenant: string;
  readonly model: string;
  readonly root: string;
  readonly category: string;
  readonly tag: string;
}

/** As the API takes it: where nothing is filled in, everything has to be asked for by name. */
export function purgeBody(filter: PurgeFilter): Readonly<Record<string, string | boolean>> {
  const given = givenOf(filter);
  return given.length === 0 ? { all: true } : Object.fromEntries(given);
}

/** 'category support and tag docs-v2', or 'everything'. */
export function purgeText(filter: PurgeFilter): string {
  const given = givenOf(filter);
  return given.length === 0 ? 'everything' : given.map(([field, value]) => `${field} ${value}`).join(' and ');
}

function givenOf(filter: PurgeFilter): readonly (readonly [string, string])[] {
  return Object.entries(filter)
    .map(([field, value]: [string, string]) => [field, value.trim()] as const)
    .filter(([, value]) => value !== '');
}
