/** What tests of the answer cache ask a gateway for. */
import { type Gateway, until } from './gateway.ts';
import { OPERATOR_KEY } from './operator-key.ts';

// biome-ignore lint/suspicious/noExplicitAny: answers are looked into as they are
export type Json = any;

/** Asks a gateway as whoever has a key. @param gateway which may not have started yet */
export function cacheClient(gateway: () => Gateway) {
  async function call(key: string, method: string, path: string, body?: object) {
    const response = await fetch(`${gateway().url}/${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, text, json: JSON.parse(text) as Json };
  }

  /** Asks the model; where it has the answer already, the cache's id of it is told. */
  async function ask(
    key: string,
    content: string,
    fields: object = {},
    headers: Record<string, string> = {},
  ) {
    const response = await fetch(`${gateway().url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
      body: JSON.stringify({
        ...{ model: 'base', temperature: 0, max_tokens: 4, messages: [{ role: 'user', content }] },
        ...fields,
      }),
    });
    if (response.status !== 200) throw new Error(await response.text());
    await response.arrayBuffer();
    const state = response.headers.get('x-polylora-cache') ?? '';
    return { state, id: /id=([\w-]+)/.exec(state)?.[1] ?? '' };
  }

  /** The ids of entries with this filter, once the store has as many as are expected. */
  async function listed(key: string, query: string, expected: number): Promise<Json[]> {
    let found: Json[] = [];
    await until(async () => {
      found = (await call(key, 'GET', `admin/v1/cache/entries?${query}`)).json.data;
      return found.length === expected;
    });
    return found;
  }

  /** The metrics' text. */
  async function metrics(): Promise<string> {
    const headers = { authorization: `Bearer ${OPERATOR_KEY}` };
    return (await fetch(`${gateway().url}/metrics`, { headers })).text();
  }
  return { call, ask, listed, metrics };
}

/** The sum of the series that begin with this. */
export function series(text: string, start: string): number {
  const lines = text.split('\n').filter((line) => line.startsWith(start));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}
