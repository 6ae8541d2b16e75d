import { POOLED_SAMPLING } from '@polylora/engine';
import { describe, expect, it } from 'vitest';
import type { BackendModel, BackendRequest } from '../backend.ts';
import { upstreamRequest } from './request-body.ts';

const MODEL: BackendModel = {
  id: 'm',
  parent: null,
  root: 'm',
  created: 0,
  maxModelLen: null,
  vocabSize: 100,
  mixture: null,
  fingerprint: 'fp',
  task: 'generate',
};

function bodyOf(tenant: string, request: Partial<BackendRequest>, prefixes: 'tenant' | 'shared' = 'tenant') {
  const nothing = { cacheSalt: null, category: null, timeoutSeconds: null };
  const scheduling = { tenant, weight: 1, priority: 'normal' as const, ...nothing };
  const full: BackendRequest = {
    id: 'r',
    prompt: { kind: 'text', text: 'a' },
    sampling: { ...POOLED_SAMPLING, maxTokens: 5 },
    scheduling,
    echo: false,
    ...request,
  };
  return upstreamRequest(MODEL, full, { stream: false, prefixes }).body;
}

describe('upstreamRequest', () => {
  it('leaves out what asks for nothing', () => {
    const { cache_salt: _, ...body } = bodyOf('t', {});
    expect(body).toEqual({ model: 'm', prompt: 'a', max_tokens: 5, temperature: 0, top_p: 1 });
  });

  it('keeps tenants’ prefixes apart by digests, and tells no names', () => {
    const [acme, other] = [bodyOf('acme', {}).cache_salt, bodyOf('other', {}).cache_salt];
    expect(acme).not.toBe(other);
    expect(bodyOf('acme', {}).cache_salt).toBe(acme);
    expect(String(acme)).not.toContain('acme');
    expect(bodyOf('acme', {}, 'shared')).not.toHaveProperty('cache_salt');
  });

  it('writes calls and their answers as OpenAI does', () => {
    const toolCalls = [{ id: 'c1', name: 'pick', arguments: '{}' }];
    const { messages } = bodyOf('t', {
      prompt: {
        kind: 'chat',
        messages: [
          { role: 'assistant', content: '', toolCalls },
          { role: 'tool', content: 'done', toolCallId: 'c1' },
        ],
      },
    });
    const called = { id: 'c1', type: 'function', function: { name: 'pick', arguments: '{}' } };
    expect(messages).toEqual([
      { role: 'assistant', content: '', tool_calls: [called] },
      { role: 'tool', content: 'done', tool_call_id: 'c1' },
    ]);
  });

  it('asks for strict schemas as OpenAI does, and for others as vLLM does', () => {
    const asked = (field: string) =>
      bodyOf('t', {
        sampling: {
          ...POOLED_SAMPLING,
          constraint: { kind: 'json_schema', field, schema: '{}', lenient: false },
        },
      });
    expect(asked('response_format.json_schema.schema')).toMatchObject({
      response_format: { type: 'json_schema', json_schema: { strict: true } },
    });
    expect(asked('guided_json')).toMatchObject({ structured_outputs: { json: {} } });
  });
});
