import { Hono } from 'hono';
import type { GatewayEnv } from '../../http/context.ts';
import { readJsonBody } from '../../http/json-body.ts';
import { textValue } from '../../openai/fields.ts';
import { parse } from '../../openai/parse.ts';
import type { NamedPrice } from '../../tenants/prices.ts';
import { actorName, openedTenants, type TenancyDeps } from './tenancy.ts';
import { newPrice } from './tenant-body.ts';

const BODY_LIMIT_BYTES = 64 << 10;
/** From the currency's unit for a million tokens to billionths of it for one. */
const NANOS_OF_TOKEN = 1_000;

/**
 * `/admin/v1/prices`: what a million tokens cost. The name of an adapter, `owner/*`, `base` or `*`; a slash is written `%2F`.
 *
 * | | |
 * | --- | --- |
 * | `GET /` | all |
 * | `PUT /{model}` | `input`, `output`, and perhaps `cached_input` |
 * | `DELETE /{model}` | |
 */
export function adminPrices(deps: TenancyDeps): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>();
  const opened = () => openedTenants(deps).prices;
  app.get('/', async (c) =>
    c.json({ object: 'list', data: (await opened().list()).map(priceBody), has_more: false }),
  );
  app.put('/:model', async (c) => {
    const model = textValue(c.req.param('model'), 'model', 128);
    const {
      input,
      output,
      cached_input: cached,
    } = parse(newPrice, await readJsonBody(c.req.raw, BODY_LIMIT_BYTES));
    const price = {
      model,
      input: nanos(input),
      cachedInput: nanos(cached ?? input),
      output: nanos(output),
    };
    await opened().set(price, actorName(c));
    return c.json(priceBody(price));
  });
  app.delete('/:model', async (c) => {
    await opened().remove(c.req.param('model'), actorName(c));
    return c.json({ model: c.req.param('model'), deleted: true });
  });
  return app;
}

function nanos(perMillion: number): number {
  return Math.round(perMillion * NANOS_OF_TOKEN);
}

function priceBody({ model, input, cachedInput, output }: NamedPrice): object {
  const [perMillion, cached, out] = [input, cachedInput, output].map((each) => each / NANOS_OF_TOKEN);
  return { object: 'price', model, input: perMillion, cached_input: cached, output: out };
}
