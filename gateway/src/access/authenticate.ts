import { createMiddleware } from 'hono/factory';
import type { GatewayEnv } from '../http/context.ts';
import { principalOf } from './tenant.ts';

/** Finds out who asks. The only place that reads a client's key. */
export function authenticate() {
  return createMiddleware<GatewayEnv>(async (c, next) => {
    c.set('access', { principal: principalOf(c.req.header('authorization')) });
    await next();
  });
}
