import { Hono } from 'hono';
import { ApiError } from './errors.ts';
import { errorResponse, type GatewayEnv, requestContext } from './http/context.ts';
import { chatCompletionsRoute } from './routes/chat-completions.ts';
import { completionsRoute } from './routes/completions.ts';
import type { GatewayDeps } from './routes/deps.ts';
import { healthRoute, metricsRoute, readinessRoute } from './routes/health.ts';
import { modelRoute, modelsRoute } from './routes/models.ts';

/**
 * Builds the gateway's HTTP app. It never listens and owns nothing: serve its `fetch`.
 *
 * @example
 * const app = createApp({ backend: () => backend, inFlight, metrics, logger, requestBodyLimitBytes, allowPriority });
 * const response = await app.request('/v1/models');
 */
export function createApp(deps: GatewayDeps): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>();
  app.use('*', requestContext(deps.logger, deps.metrics));

  app.post('/v1/chat/completions', chatCompletionsRoute(deps)).all(notAllowed('POST'));
  app.post('/v1/completions', completionsRoute(deps)).all(notAllowed('POST'));
  app.get('/v1/models', modelsRoute(deps)).all(notAllowed('GET'));
  app.get('/v1/models/:id{.+}', modelRoute(deps)).all(notAllowed('GET'));
  app.get('/healthz', healthRoute()).all(notAllowed('GET'));
  app.get('/readyz', readinessRoute(deps)).all(notAllowed('GET'));
  app.get('/metrics', metricsRoute(deps)).all(notAllowed('GET'));

  app.notFound((c) => {
    const message = `Invalid URL (${c.req.method} ${c.req.path.slice(0, 256)})`;
    return errorResponse(new ApiError('unknown_url', message));
  });
  app.onError((error) => errorResponse(error));
  return app;
}

/** Answers the other methods of a route. */
function notAllowed(allowed: string) {
  return (c: { req: { method: string; path: string } }): Response => {
    const { method, path } = c.req;
    const hint = '(HINT: Perhaps you meant to use a different HTTP method?)';
    const response = errorResponse(
      new ApiError('method_not_supported', `Not allowed to ${method} on ${path.slice(0, 256)}. ${hint}`),
    );
    response.headers.set('allow', allowed);
    return response;
  };
}
