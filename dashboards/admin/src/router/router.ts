/** Which page a path is: patterns of fixed parts and `:names`, whose values may hold any character, encoded. */

/** Where the gateway serves the dashboard. */
export const BASE = '/admin';

export interface Route<T> {
  /** Such as `/adapters/:name`. */
  readonly pattern: string;
  readonly value: T;
}

export interface Match<T> {
  readonly value: T;
  readonly params: Readonly<Record<string, string>>;
}

/** @param path as in the address, with or without a slash at its end; null where no route has it */
export function match<T>(routes: readonly Route<T>[], path: string): Match<T> | null {
  const parts = partsOf(path);
  for (const { pattern, value } of routes) {
    const params = paramsOf(partsOf(pattern), parts);
    if (params !== null) return { value, params };
  }
  return null;
}

/** The path within the dashboard: `/admin/adapters` is `/adapters`. */
export function withinBase(path: string): string {
  const rest = path.startsWith(`${BASE}/`) ? path.slice(BASE.length) : '/';
  return rest.length > 1 && rest.endsWith('/') ? rest.slice(0, -1) : rest;
}

/** A path within the dashboard, of parts that may hold slashes. */
export function to(...parts: readonly string[]): string {
  return parts.length === 0 ? '/' : parts.map((part) => `/${encodeURIComponent(part)}`).join('');
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '');
}

function paramsOf(pattern: readonly string[], parts: readonly string[]): Record<string, string> | null {
  if (pattern.length !== parts.length) return null;
  const params: Record<string, string> = {};
  for (const [index, wanted] of pattern.entries()) {
    const part = parts[index]!;
    if (!wanted.startsWith(':')) {
      if (wanted !== part) return null;
      continue;
    }
    const value = decoded(part);
    if (value === null) return null;
    params[wanted.slice(1)] = value;
  }
  return params;
}

function decoded(part: string): string | null {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}
