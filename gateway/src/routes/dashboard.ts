import type { Context } from 'hono';
import type { Dashboard } from '../dashboard/dashboard.ts';
import type { StaticFile } from '../dashboard/static-file.ts';
import { ApiError } from '../errors.ts';
import type { GatewayEnv } from '../http/context.ts';

/** What the app needs: nothing from elsewhere, no script or style within the page, and no other page around it. */
const HEADERS = {
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "font-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
} as const;

/** A page is asked for again each time; what it loads has names that are of its content. */
const FRESH = 'no-cache';
const FOR_EVER = 'public, max-age=31536000, immutable';

const NOT_BUILT = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Polylora</title>
<link rel="icon" href="data:,">
<h1>The dashboard is not built</h1>
<p>This server runs, but the files of its dashboard are not there. In the directory of Polylora, run</p>
<pre>node scripts/setup.mjs</pre>
<p>and load this page again. All that the dashboard does can be done with the <code>polylora</code> command as well.</p>
</html>
`;

/** `GET /admin` and the pages below it: the same file, which shows the page that the address names. */
export function dashboardRoute(dashboard: Dashboard) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const page = await dashboard.page();
    if (page !== null) return fileAnswer(c, page, FRESH);
    const type = 'text/html; charset=utf-8';
    return c.body(NOT_BUILT, 503, { ...HEADERS, 'content-type': type, 'cache-control': 'no-store' });
  };
}

/** `GET /admin/assets/{file}` */
export function dashboardAssetRoute(dashboard: Dashboard) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const asset = await dashboard.asset(c.req.param('file') ?? '');
    if (asset === null) throw new ApiError('unknown_url', 'The dashboard has no such file.');
    return fileAnswer(c, asset, FOR_EVER);
  };
}

async function fileAnswer(c: Context<GatewayEnv>, file: StaticFile, caching: string): Promise<Response> {
  const { bytes, encoding, etag } = await file.encoded(c.req.header('accept-encoding'));
  const headers = { ...HEADERS, etag, 'cache-control': caching, vary: 'accept-encoding' };
  if (isKnown(c.req.header('if-none-match'), etag)) return c.body(null, 304, headers);
  return c.body(bytes, 200, {
    ...headers,
    'content-type': file.type,
    ...(encoding === 'identity' ? {} : { 'content-encoding': encoding }),
  });
}

/** Whether the client has it: a proxy may have made the tag a weak one. */
function isKnown(header: string | undefined, etag: string): boolean {
  const tags = header?.split(',').map((tag) => tag.trim().replace(/^W\//, '')) ?? [];
  return tags.includes(etag) || tags.includes('*');
}
