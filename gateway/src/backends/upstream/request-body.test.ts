import { POOLED_SAMPLING } from '@polylora/engine';
import { describe, expect, it } from 'vitest';
import type { BackendModel, BackendRequest } from '../backend.ts';
import { Pseudonyms } from './pseudonyms.ts';
import { type Telling, upstreamRequest } from './request-body.ts';

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

function bodyOf(tenant: string, request: Partial<BackendRequest>, telling: Partial<Telling> = {}) {
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
  const pseudonyms = new Pseudonyms(Buffer.alloc(32, 1));
  const all: Telling = { prefixes: 'tenant', priorities: 'off', pseudonyms, ...telling };
  return upstreamRequest(MODEL, full, all, false).body;
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
    expect(bodyOf('acme', {}, { prefixes: 'shared' })).not.toHaveProperty('cache_salt');
    // Who knows how it is made, and not the secret, makes another one.
    const pseudonyms = new Pseudonyms(Buffer.alloc(32, 2));
    expect(bodyOf('acme', {}, { pseudonyms }).cache_salt).not.toBe(acme);
  });

  it('lets no request find another’s prefix where they are off, by the ways that servers know', () => {
    const [first, second] = [
      bodyOf('t', {}, { prefixes: 'off' }),
      bodyOf('t', { id: 'r2' }, { prefixes: 'off' }),
    ];
    expect(first.cache_salt).not.toBe(second.cache_salt);
    expect(first.cache_prompt).toBe(false);
    expect(bodyOf('t', {})).not.toHaveProperty('cache_prompt');
  });

  it('tells who comes first in the upstream’s own numbers, where that is wanted', () => {
    const asked = (priority: 'high' | 'normal' | 'batch', priorities?: Telling['priorities']) => {
      const scheduling = {
        tenant: 't',
        weight: 1,
        priority,
        cacheSalt: null,
        category: null,
        timeoutSeconds: null,
      };
      const body = bodyOf('t', { scheduling }, priorities === undefined ? {} : { priorities });
      return [body.priority, body.service_tier];
    };
    expect(asked('high')).toEqual([undefined, 'priority']);
    expect(asked('batch')).toEqual([undefined, 'flex']);
    for (const [order, sign] of [
      ['lower-first', -1],
      ['higher-first', 1],
    ] as const) {
      expect(asked('high', order)).toEqual([sign, 'priority']);
      expect(asked('normal', order)).toEqual([0, undefined]);
      expect(asked('batch', order)).toEqual([-sign, 'flex']);
    }
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
