import { createHash, timingSafeEqual } from 'node:crypto';
import { createMiddleware } from 'hono/factory';
import { ApiError } from '../errors.ts';
import type { GatewayEnv } from './context.ts';

/** Lets nobody pass but whoever has the operator's key; without such a key, nobody at all. */
export function operatorOnly(operatorKey: string | null) {
  const expected = operatorKey === null ? null : digest(operatorKey);
  return createMiddleware<GatewayEnv>(async (c, next) => {
    if (expected === null) {
      const message =
        'The admin API is off. Start the server with an operator key (POLYLORA_OPERATOR_KEY) to turn it on.';
      throw new ApiError('admin_disabled', message);
    }
    const given = /^Bearer +(\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1] ?? '';
    // Of equal length and in constant time: how long it takes tells nothing of how much was right.
    if (!timingSafeEqual(digest(given), expected)) {
      throw new ApiError('invalid_api_key', 'This needs the operator key, as a bearer token.');
    }
    await next();
  });
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
