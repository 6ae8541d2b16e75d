import { Hono } from 'hono';
import type { GatewayEnv } from '../../http/context.ts';
import { readJsonBody } from '../../http/json-body.ts';
import { textValue } from '../../openai/fields.ts';
import { parse } from '../../openai/parse.ts';
import { MOST_PRICED_NAME, priceOf, pricePerMillion } from '../../tenants/price.ts';
import type { SetPrice } from '../../tenants/prices.ts';
import { assertQuery } from './paging.ts';
import { actorName, openedTenants, type TenancyDeps } from './tenancy.ts';
import { newPrice } from './tenant-body.ts';

const BODY_LIMIT_BYTES = 64 << 10;

/**
 * `/admin/v1/prices`: what a million tokens cost. The name of an adapter, `owner/*`, `base` or `*`; a slash is written `%2F`.
 *
 * | | |
 * | --- | --- |
 * | `GET /` | all that count, also those of the configuration |
 * | `PUT /{model}` | `input`, `output`, and perhaps `cached_input` |
 * | `DELETE /{model}` | |
 */
export function adminPrices(deps: TenancyDeps): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>();
  const opened = () => openedTenants(deps).prices;
  app.get('/', async (c) => {
    assertQuery(c, ['limit', 'after']);
    return c.json({ object: 'list', data: (await opened().list()).map(priceBody), has_more: false });
  });
  app.put('/:model', async (c) => {
    const model = textValue(c.req.param('model'), 'model', MOST_PRICED_NAME);
    const { input, output, cached_input: cached } = parse(newPrice, await readJsonBody(c, BODY_LIMIT_BYTES));
    const price = { model, ...priceOf({ input, cachedInput: cached, output }) };
    await opened().set(price, actorName(c));
    return c.json(priceBody({ ...price, source: 'api' }));
  });
  app.delete('/:model', async (c) => {
    await opened().remove(c.req.param('model'), actorName(c));
    return c.json({ model: c.req.param('model'), deleted: true });
  });
  return app;
}

function priceBody({ model, source, ...price }: SetPrice): object {
  const { input, cachedInput, output } = pricePerMillion(price);
  return { object: 'price', model, input, cached_input: cachedInput, output, source };
}
