import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { UpstreamHttp } from './http.ts';
import { UpstreamModels } from './models.ts';

it("gives adapters the base model's length, where only that is told, as vLLM does", async () => {
  const data = [
    { id: 'base-7b', object: 'model', max_model_len: 32_768, parent: null },
    { id: 'sql', object: 'model', max_model_len: null, parent: 'base-7b' },
    { id: 'short', object: 'model', max_model_len: 512, parent: 'base-7b' },
    { id: 'other', object: 'model' },
  ];
  const server = createServer((_, response) => response.end(JSON.stringify({ data }))).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const http = new UpstreamHttp(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, null, 1 << 20);
  const models = new UpstreamModels(http, () => {});
  try {
    await models.look();
    expect(models.list().map(({ id, parent, maxModelLen }) => [id, parent, maxModelLen])).toEqual([
      ['base-7b', null, 32_768],
      ['other', null, null],
      ['short', 'base-7b', 512],
      ['sql', 'base-7b', 32_768],
    ]);
  } finally {
    models.close();
    await http.close();
    server.close();
  }
});
