import type { Context } from 'hono';
import { type Reservation, UNLIMITED } from '../admission/admission.ts';
import type { Asked } from '../admission/asked.ts';
import { addHeaders, Ending, type GatewayEnv } from '../http/context.ts';
import type { GatewayDeps } from './deps.ts';

/** Reserves what a request may use for whoever sent it; what it used is in its line of the log. */
export function reserveFor(c: Context<GatewayEnv>, { tenants }: GatewayDeps) {
  const taken = (reservation: Reservation): Reservation => {
    addHeaders(c, reservation.headers);
    const ending = new Ending();
    c.set('ending', ending);
    return {
      headers: reservation.headers,
      holdsTokens: reservation.holdsTokens,
      settle: (used) => {
        reservation.settle(used);
        const log = c.get('log');
        if (used !== null && log.usage === undefined) {
          log.usage = { prompt_tokens: used.promptTokens, completion_tokens: used.completionTokens };
          const record = c.get('record');
          if (record !== undefined) record.used = used;
        }
        ending.end();
      },
    };
  };
  return (asked: Asked): Reservation | Promise<Reservation> => {
    const reserved = tenants()?.admission.reserve(c.get('access'), asked) ?? UNLIMITED;
    return reserved instanceof Promise ? reserved.then(taken) : taken(reserved);
  };
}
