import type { Context } from 'hono';
import type { GatewayEnv } from '../http/context.ts';
import { CONTENT_TYPES, formatFor } from '../metrics/exposition.ts';
import type { GatewayDeps } from './deps.ts';

/** `GET /healthz`: the process answers. */
export function healthRoute() {
  return (c: Context<GatewayEnv>): Response => c.json({ status: 'ok' });
}

/** `GET /readyz`: new requests are welcome; 503 while the engine starts or the upstream is away, and from the moment of a stop. */
export function readinessRoute({ backend, inFlight }: GatewayDeps) {
  return (c: Context<GatewayEnv>): Response => {
    if (inFlight.draining) return c.json({ status: 'stopping' }, 503);
    const { ready, computer } = backend();
    if (ready) return c.json({ status: 'ready' });
    return computer === 'upstream'
      ? c.json({ status: 'waiting', upstream: 'away' }, 503)
      : c.json({ status: 'starting' }, 503);
  };
}

/** `GET /metrics`, in Prometheus' text format, or in OpenMetrics for those who ask for that */
export function metricsRoute({ backend, metrics }: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const format = formatFor(c.req.header('accept'));
    const text = await metrics.render(backend(), format);
    return c.body(text, 200, { 'content-type': CONTENT_TYPES[format], vary: 'accept' });
  };
}
