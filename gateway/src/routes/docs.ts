/** The document of the API, and a page to read it with: from this server alone, as it may be all that can be reached. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Context } from 'hono';
import { ApiError } from '../errors.ts';
import type { GatewayEnv } from '../http/context.ts';
import { openApiDocument } from '../openapi/document.ts';

interface Routes {
  readonly routes: readonly { readonly method: string; readonly path: string }[];
}

const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Polylora API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="viewer"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
`;

const START = `SwaggerUIBundle({ url: 'openapi.json', dom_id: '#viewer', deepLinking: true, validatorUrl: null });
`;

/** What the page needs: it loads nothing from elsewhere, and nobody can frame it. */
const HEADERS = {
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
} as const;

const TYPES = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'start.js': 'text/javascript; charset=utf-8',
} as const;

/** `GET /openapi.json` */
export function openApiRoute(app: Routes) {
  let document: string | null = null;
  return (c: Context<GatewayEnv>): Response => {
    document ??= JSON.stringify(openApiDocument(app.routes));
    return c.body(document, 200, { 'content-type': 'application/json' });
  };
}

/** `GET /docs` */
export function docsRoute() {
  return (c: Context<GatewayEnv>): Response =>
    c.body(PAGE, 200, { ...HEADERS, 'content-type': 'text/html; charset=utf-8' });
}

/** `GET /docs/{file}` */
export function docsFileRoute() {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const file = c.req.param('file') ?? '';
    if (!isFile(file)) throw new ApiError('unknown_url', `Invalid URL (GET ${c.req.path.slice(0, 256)})`);
    const content = file === 'start.js' ? START : await readFile(join(VIEWER, file));
    return c.body(content, 200, {
      ...HEADERS,
      'content-type': TYPES[file],
      'cache-control': 'public, max-age=3600',
    });
  };
}

function isFile(name: string): name is keyof typeof TYPES {
  return Object.hasOwn(TYPES, name);
}

const VIEWER = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
