import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Gateway,
  oracleCase,
  oracleModel,
  START_MILLISECONDS,
  startGateway,
} from '../support/gateway.ts';

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway({ args: await oracleModel() });
}, START_MILLISECONDS);
afterAll(() => gateway?.stop());

async function post(path: string, body: object): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`${gateway.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

describe('/tokenize', () => {
  it('gives the tokens of a text, and /detokenize the text of tokens', async () => {
    const prompt = 'Grüße, 世界!';
    const { body } = await post('/tokenize', { model: 'base', prompt, return_token_strs: true });
    const tokens = body.tokens as number[];
    expect(body).toMatchObject({ count: tokens.length, max_model_len: expect.any(Number) });
    expect(body.token_strs).toHaveLength(tokens.length);
    expect((body.token_strs as string[])[0]).toBe('Gr');
    expect((await post('/detokenize', { tokens })).body).toEqual({ prompt });
    expect((await post('/tokenize', { prompt: '' })).body).toMatchObject({ count: 0, token_strs: null });
  });

  it('gives the tokens of a chat as a completion of it counts them', async () => {
    const { messages, prompt_ids: ids } = oracleCase(null, 'What is the capital of France?');
    const { body } = await post('/tokenize', { model: 'text-to-sql', messages });
    expect(body).toMatchObject({ count: ids.length, tokens: ids, token_strs: null });
  });

  it.each([
    ['/tokenize', {}, 400, 'missing_required_parameter', 'prompt'],
    ['/tokenize', { messages: [] }, 400, 'empty_array', 'messages'],
    ['/tokenize', { prompt: 'x', model: 'nobody' }, 404, 'model_not_found', null],
    ['/tokenize', { prompt: 'x'.repeat(2_000_000) }, 400, 'context_length_exceeded', null],
    ['/detokenize', { tokens: [49_152] }, 400, 'integer_above_max_value', 'tokens[0]'],
    ['/detokenize', { tokens: [-1] }, 400, 'integer_below_min_value', 'tokens[0]'],
  ])('%s refuses %j', async (path, fields, status, code, param) => {
    const answer = await post(path, fields);
    expect(answer).toMatchObject({ status, body: { error: { code, param } } });
  });
});
