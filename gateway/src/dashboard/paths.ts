/**
 * Paths of the dashboard that need no key, because they tell nothing but what every server of this version would. They are told by the
 * path as routes are found by it, and by nothing that could be read in another way: what is not plainly one of them stays closed.
 */

export const DASHBOARD = '/admin';

/** A page's path below `/admin/`, which the app shows by itself; never one of the API, whose first part has a digit. */
export const PAGE =
  '(?:(?!(?:session|assets)(?:/|$))[a-z]+(?:-[a-z]+)*(?:/(?!\\.\\.?(?:/|$))[\\w.~%:+-]+)*/?)?';

const PAGE_PATH = new RegExp(`^${DASHBOARD}(?:/${PAGE})?$`);
const ASSET_PATH = /^\/admin\/assets\/[\w-][\w.-]*$/;
export const SESSION_PATH = '/admin/session';

const READING: ReadonlySet<string> = new Set(['GET', 'HEAD']);
/** Those of the session: it is begun without a key, or by the one in the body. */
const SESSION_METHODS: ReadonlySet<string> = new Set([...READING, 'POST', 'DELETE']);

/** Whether a request is for the dashboard's files, or begins and ends a session. */
export function isOfDashboard(method: string, path: string): boolean {
  if (path === SESSION_PATH) return SESSION_METHODS.has(method);
  return READING.has(method) && (PAGE_PATH.test(path) || ASSET_PATH.test(path));
}
