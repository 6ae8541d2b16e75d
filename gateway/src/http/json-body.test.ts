import { describe, expect, it } from 'vitest';
import { ApiError } from '../errors.ts';
import { readJsonBody } from './json-body.ts';

const JSON_TYPE = { 'content-type': 'application/json' };

function post(body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = JSON_TYPE): Request {
  return new Request('http://localhost/', { method: 'POST', body, headers });
}

async function refusal(request: Request, limitBytes = 1_000_000): Promise<string> {
  return readJsonBody(request, limitBytes).then(
    () => 'accepted',
    (error: unknown) => (error instanceof ApiError ? error.code : String(error)),
  );
}

describe('readJsonBody', () => {
  it('reads an object, whatever brackets its strings hold', async () => {
    const value = { a: `${'['.repeat(500)}\\"[`, b: [{ c: null }] };
    expect(await readJsonBody(post(JSON.stringify(value)), 10_000)).toEqual(value);
    const utf8 = { 'content-type': 'application/json; charset=utf-8' };
    expect(await readJsonBody(post('{}', utf8), 100)).toEqual({});
  });

  it('refuses what is not JSON, not UTF-8 or not an object', async () => {
    expect(await refusal(post('{"a":'))).toBe('invalid_json');
    expect(await refusal(post(''))).toBe('invalid_json');
    expect(await refusal(post('[1]'))).toBe('invalid_json');
    expect(await refusal(post('null'))).toBe('invalid_json');
    expect(await refusal(post(Uint8Array.from([0x22, 0xff, 0x22])))).toBe('invalid_json');
    expect(await refusal(post('"unterminated\\'))).toBe('invalid_json');
  });

  it('refuses other media types and compressed bodies', async () => {
    expect(await refusal(post('{}', { 'content-type': 'text/plain' }))).toBe('unsupported_media_type');
    expect(await refusal(post('{}', {}))).toBe('unsupported_media_type');
    expect(await refusal(post('{}', { ...JSON_TYPE, 'content-encoding': 'gzip' }))).toBe(
      'unsupported_media_type',
    );
  });

  it('refuses deep nesting at once', async () => {
    const began = performance.now();
    const deep = 500_000;
    expect(await refusal(post(`{"a":${'['.repeat(deep)}${']'.repeat(deep)}}`), 10_000_000)).toBe(
      'json_too_deep',
    );
    expect(await refusal(post('{"a":'.repeat(10_000)))).toBe('json_too_deep');
    expect(performance.now() - began).toBeLessThan(500);
  });

  it('refuses a hundred thousand names unparsed, in one object or in many, and takes any number of small objects', async () => {
    const named = (count: number, from = 0) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`key-${from + index}`, ':{']));
    const several = (count: number, each: number) =>
      JSON.stringify({ a: Array.from({ length: count }, (_, index) => named(each, index * each)) });
    expect(await refusal(post(JSON.stringify({ a: named(100_000) })), 10_000_000)).toBe(
      'object_above_max_properties',
    );
    expect(await refusal(post(several(100, 1_000)), 10_000_000)).toBe('object_above_max_properties');
    expect(await readJsonBody(post(JSON.stringify({ a: named(10_000) })), 10_000_000)).toHaveProperty('a');
    expect(await readJsonBody(post(several(10_000, 20)), 10_000_000)).toHaveProperty('a');
  });

  it('takes a body that breaks off for a client that left', async () => {
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.error(new Error('reset')),
    });
    const init = { method: 'POST', body, duplex: 'half', headers: JSON_TYPE };
    expect(await refusal(new Request('http://localhost/', init as RequestInit))).toBe(
      'client_closed_request',
    );
  });

  it('refuses a body beyond the limit, announced or not', async () => {
    const large = JSON.stringify({ a: 'x'.repeat(1000) });
    expect(await refusal(post(large, { ...JSON_TYPE, 'content-length': String(large.length) }), 100)).toBe(
      'request_too_large',
    );
    expect(await refusal(post(large), 100)).toBe('request_too_large');
  });
});
