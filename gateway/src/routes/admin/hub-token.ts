import type { Secrets } from '@polylora/adapters-store';
import { Hono } from 'hono';
import { HUB_TOKEN } from '../../adapters/store-host.ts';
import type { GatewayEnv } from '../../http/context.ts';
import { readJsonBody } from '../../http/json-body.ts';
import { invalidValue, missing } from '../../openai/fields.ts';
import { actorOf } from './actor.ts';
import { asked, opened } from './asked.ts';

const BODY_LIMIT_BYTES = 4 << 10;
const TOKEN = /^hf_[\x21-\x7e]{1,256}$/;

/** `/admin/v1/sources/hub/token`: the token for the Hugging Face Hub. It is kept encrypted and never given out again. */
export function adminHubToken(secrets: () => Secrets | null): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>();
  app.get('/', (c) => asked(async () => c.json(await state(opened(secrets())))));
  app.put('/', (c) =>
    asked(async () => {
      const { token } = await readJsonBody(c, BODY_LIMIT_BYTES);
      if (token === undefined) throw missing('token');
      // What was given is not repeated: it may be a secret with a typing error.
      if (typeof token !== 'string' || !TOKEN.test(token))
        throw invalidValue('token', "a token of the hub starts with 'hf_'.");
      await opened(secrets()).set(HUB_TOKEN, token, actorOf(c));
      return c.json(await state(opened(secrets())));
    }),
  );
  app.delete('/', (c) =>
    asked(async () => {
      await opened(secrets()).remove(HUB_TOKEN, actorOf(c));
      return c.json(await state(opened(secrets())));
    }),
  );
  return app;
}

async function state(secrets: Secrets): Promise<object> {
  const kept = await secrets.state(HUB_TOKEN);
  return { set: kept !== null, updated: kept === null ? null : Math.floor(kept.updatedAt / 1000) };
}
