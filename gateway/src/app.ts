import { Hono } from 'hono';
import { TrieRouter } from 'hono/router/trie-router';
import { administratorsOnly, authenticate, operatorsOnly } from './access/authenticate.ts';
import { DASHBOARD, PAGE, SESSION_PATH } from './dashboard/paths.ts';
import { ApiError } from './errors.ts';
import { errorResponse, type GatewayEnv, requestContext } from './http/context.ts';
import { crossOrigin } from './http/cross-origin.ts';
import { RememberingRouter } from './http/remembering-router.ts';
import { withoutKeys } from './openai/fields.ts';
import { adapterResidence } from './routes/admin/adapter-residence.ts';
import { adminAdapters } from './routes/admin/adapters.ts';
import { adminAudit } from './routes/admin/audit.ts';
import { adminBackends } from './routes/admin/backends.ts';
import { adminCache } from './routes/admin/cache.ts';
import { adminHubToken } from './routes/admin/hub-token.ts';
import { adminImports } from './routes/admin/imports.ts';
import { adminKeys } from './routes/admin/keys.ts';
import { asksAboutItself, litellmKeys } from './routes/admin/litellm.ts';
import { adminLive } from './routes/admin/live.ts';
import { adminPool } from './routes/admin/pool.ts';
import { adminPrices } from './routes/admin/prices.ts';
import { adminRequests } from './routes/admin/requests.ts';
import { beginSessionRoute, endSessionRoute, sessionRoute } from './routes/admin/session.ts';
import { adminTenants } from './routes/admin/tenants.ts';
import { batchesRoute, batchRoute, cancelBatchRoute, createBatchRoute } from './routes/batches.ts';
import { reportAnswerRoute } from './routes/cache.ts';
import { chatCompletionsRoute } from './routes/chat-completions.ts';
import { completionsRoute } from './routes/completions.ts';
import { dashboardAssetRoute, dashboardRoute } from './routes/dashboard.ts';
import type { GatewayDeps } from './routes/deps.ts';
import { docsFileRoute, docsRoute, openApiRoute } from './routes/docs.ts';
import { embeddingsRoute } from './routes/embeddings.ts';
import { createFileRoute, deleteFileRoute, fileContentRoute, fileRoute, filesRoute } from './routes/files.ts';
import { healthRoute, metricsRoute, readinessRoute } from './routes/health.ts';
import { loraAdaptersRoute, setLoraAdaptersRoute } from './routes/lora-adapters.ts';
import { modelRoute, modelsRoute } from './routes/models.ts';
import {
  cancelResponseRoute,
  createResponseRoute,
  deleteResponseRoute,
  inputItemsRoute,
  responseRoute,
} from './routes/responses.ts';
import { loadLoraRoute, unloadLoraRoute } from './routes/runtime-lora.ts';
import { detokenizeRoute, tokenizeRoute } from './routes/tokenize.ts';

const RUNTIME_LORA = ['/v1/load_lora_adapter', '/v1/unload_lora_adapter'];

/**
 * Builds the gateway's HTTP app. It never listens and owns nothing: serve its `fetch`.
 *
 * @example
 * const app = createApp({ backend: () => backend, inFlight, metrics, logger, ...options });
 * const response = await app.request('/v1/models');
 */
export function createApp(deps: GatewayDeps): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>({ router: new RememberingRouter(new TrieRouter()) });
  app.use('*', requestContext(deps));

  if (deps.corsOrigins.length > 0) app.use('*', crossOrigin(deps.corsOrigins));
  app.use('*', authenticate(deps));

  app.post('/v1/chat/completions', chatCompletionsRoute(deps)).all(notAllowed('POST'));
  app.post('/v1/completions', completionsRoute(deps)).all(notAllowed('POST'));
  app.post('/v1/embeddings', embeddingsRoute(deps)).all(notAllowed('POST'));
  app.get('/v1/models', modelsRoute(deps)).all(notAllowed('GET'));
  app.get('/v1/models/:id{.+}', modelRoute(deps)).all(notAllowed('GET'));
  app.post('/v1/responses', createResponseRoute(deps)).all(notAllowed('POST'));
  app
    .get('/v1/responses/:id', responseRoute(deps))
    .delete(deleteResponseRoute(deps))
    .all(notAllowed('DELETE, GET'));
  app.get('/v1/responses/:id/input_items', inputItemsRoute(deps)).all(notAllowed('GET'));
  app.post('/v1/responses/:id/cancel', cancelResponseRoute(deps)).all(notAllowed('POST'));
  app.post('/v1/files', createFileRoute(deps)).get(filesRoute(deps)).all(notAllowed('GET, POST'));
  app.get('/v1/files/:id', fileRoute(deps)).delete(deleteFileRoute(deps)).all(notAllowed('DELETE, GET'));
  app.get('/v1/files/:id/content', fileContentRoute(deps)).all(notAllowed('GET'));
  app.post('/v1/batches', createBatchRoute(deps)).get(batchesRoute(deps)).all(notAllowed('GET, POST'));
  app.get('/v1/batches/:id', batchRoute(deps)).all(notAllowed('GET'));
  app.post('/v1/batches/:id/cancel', cancelBatchRoute(deps)).all(notAllowed('POST'));
  app.post('/v1/cache/entries/:id/report', reportAnswerRoute(deps)).all(notAllowed('POST'));
  app.post('/tokenize', tokenizeRoute(deps)).all(notAllowed('POST'));
  app.post('/detokenize', detokenizeRoute(deps)).all(notAllowed('POST'));
  app.get('/lora-adapters', loraAdaptersRoute(deps)).post(setLoraAdaptersRoute()).all(notAllowed('GET'));
  if (deps.runtimeLora !== null) {
    // What they load is for everybody. Where keys are not checked, whoever reaches the server is trusted with it.
    if (deps.checksKeys) for (const path of RUNTIME_LORA) app.use(path, operatorsOnly());
    app.post('/v1/load_lora_adapter', loadLoraRoute(deps.runtimeLora)).all(notAllowed('POST'));
    app.post('/v1/unload_lora_adapter', unloadLoraRoute(deps.runtimeLora)).all(notAllowed('POST'));
  }
  // Before what asks for an administrator's key.
  const page = dashboardRoute(deps.dashboard);
  for (const path of [DASHBOARD, `${DASHBOARD}/:page{${PAGE}}`]) app.get(path, page).all(notAllowed('GET'));
  app.get(`${DASHBOARD}/assets/:file`, dashboardAssetRoute(deps.dashboard)).all(notAllowed('GET'));
  app
    .get(SESSION_PATH, sessionRoute(deps))
    .post(beginSessionRoute(deps))
    .delete(endSessionRoute(deps))
    .all(notAllowed('DELETE, GET, POST'));
  const administrators = administratorsOnly(deps.authenticator);
  app.use('/admin/*', administrators);
  app.use('/key/*', (c, next) => (asksAboutItself(c) ? next() : administrators(c, next)));
  app.route('/key', litellmKeys(deps));
  for (const path of ['/admin/v1/sources/*', '/admin/v1/adapters/imports/*']) app.use(path, operatorsOnly());
  for (const path of ['/admin/v1/prices/*', '/admin/v1/audit/*']) app.use(path, operatorsOnly());
  for (const path of ['/admin/v1/pool/*', '/admin/v1/backends/*']) app.use(path, operatorsOnly());
  app.route('/admin/v1/live', adminLive(deps));
  app.route('/admin/v1/pool', adminPool(deps));
  app.route('/admin/v1/backends', adminBackends(deps));
  app.route('/admin/v1/audit', adminAudit(deps.database));
  app.route('/admin/v1/prices', adminPrices(deps));
  app.route('/admin/v1/cache', adminCache(deps));
  app.route('/admin/v1/requests', adminRequests(deps));
  app.route('/admin/v1/tenants', adminTenants(deps));
  app.route('/admin/v1/keys', adminKeys(deps));
  app.route('/admin/v1/sources/hub/token', adminHubToken(deps.secrets));
  app.route('/admin/v1/adapters/imports', adminImports(deps.imports));
  app.route('/admin/v1/adapters', adapterResidence(deps));
  app.route('/admin/v1/adapters', adminAdapters(deps.adminAdapters));
  app.get('/openapi.json', openApiRoute(app)).all(notAllowed('GET'));
  app.get('/docs', docsRoute()).all(notAllowed('GET'));
  app.get('/docs/:file', docsFileRoute()).all(notAllowed('GET'));
  app.get('/healthz', healthRoute()).all(notAllowed('GET'));
  app.get('/readyz', readinessRoute(deps)).all(notAllowed('GET'));
  if (deps.checksKeys && !deps.openMetrics) app.use('/metrics', operatorsOnly());
  app.get('/metrics', metricsRoute(deps)).all(notAllowed('GET'));

  app.notFound((c) => {
    // Whoever comes as far as this on these paths is an administrator, who may know what there is.
    if (/^\/(admin|key)\//.test(c.req.path)) {
      const methods = METHODS.filter((method) => hasRoute(app, method, c.req.path));
      if (methods.length > 0) return notAllowed(methods.join(', '))(c);
    }
    const message = `Invalid URL (${c.req.method} ${withoutKeys(c.req.path).slice(0, 256)})`;
    return errorResponse(new ApiError('unknown_url', message));
  });
  app.onError((error) => errorResponse(error));
  return app;
}

const METHODS = ['DELETE', 'GET', 'PATCH', 'POST', 'PUT'];

/** Whether a path leads to something beside what is before all paths. */
function hasRoute(app: Hono<GatewayEnv>, method: string, path: string): boolean {
  const [found] = app.router.match(method, path);
  return found.some(([[, route]]) => !route.path.endsWith('*'));
}

/** Answers the other methods of a route. */
function notAllowed(allowed: string) {
  return (c: { req: { method: string; path: string } }): Response => {
    const { method, path } = c.req;
    const hint = '(HINT: Perhaps you meant to use a different HTTP method?)';
    const response = errorResponse(
      new ApiError(
        'method_not_supported',
        `Not allowed to ${method} on ${withoutKeys(path).slice(0, 256)}. ${hint}`,
      ),
    );
    response.headers.set('allow', allowed);
    return response;
  };
}
