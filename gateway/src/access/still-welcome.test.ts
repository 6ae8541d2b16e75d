import { Hono } from 'hono';
import { afterEach, expect, it, vi } from 'vitest';
import type { GatewayEnv } from '../http/context.ts';
import { SteadyClock } from '../steady-clock.ts';
import { OPERATOR_ACCESS } from './access.ts';
import { OpenAuthenticator } from './authenticator.ts';
import { welcomeOf } from './still-welcome.ts';

const KEY = 'an-operator-key-of-the-configuration';

afterEach(() => void vi.useRealTimers());

/** Asks whether somebody who has come with this still may look. */
async function come(authorization: string): Promise<() => Promise<boolean>> {
  const authenticator = new OpenAuthenticator(KEY);
  const clock = new SteadyClock();
  let isWelcome: () => Promise<boolean> = async () => false;
  const app = new Hono<GatewayEnv>().get('/', (c) => {
    c.set('access', OPERATOR_ACCESS);
    isWelcome = welcomeOf(c, { authenticator: () => authenticator, clock });
    return c.body(null, 204);
  });
  await app.request('/', { headers: { authorization } });
  return isWelcome;
}

it('whoever has come with a key may look for an hour, and then has to come again', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  const isWelcome = await come(`Bearer ${KEY}`);
  vi.advanceTimersByTime(3_600_000);
  expect(await isWelcome()).toBe(true);
  vi.advanceTimersByTime(1);
  expect(await isWelcome()).toBe(false);
});

it('is by what they have come with, and not by what they were taken for', async () => {
  expect(await (await come(`Bearer ${KEY}x`))()).toBe(false);
  expect(await (await come('Basic abc'))()).toBe(false);
});
