import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ApiError } from '../errors.ts';
import { chatFields, readChatRequest } from './chat-request.ts';
import { completionFields, readCompletionRequest } from './completion-request.ts';
import { embeddingFields } from './embedding-request.ts';
import { loraFields, readLora } from './lora.ts';
import { mixtureFields, readMixture } from './mixture.ts';
import { parse } from './parse.ts';
import { responsesFields } from './responses-request.ts';
import { atMost, decimal, integer, list, onlyNeutral, optional, text } from './schema-parts.ts';
import { detokenizeBody, tokenizeChatBody } from './tokenize-request.ts';

function refusal(work: () => unknown): ApiError {
  try {
    work();
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error('was not refused');
}

const schema = z.object({
  count: optional(integer(1, 16), 'A count.'),
  share: optional(decimal(0, 1), 'A share.'),
  names: optional(list(text(4), 'strings', { min: 1, max: 2 }), 'Names.'),
  labels: optional(atMost(2, z.record(z.string().max(3, 'its keys are short.'), z.string())), 'Labels.'),
  mode: onlyNeutral(z.literal('none')),
  entry: optional(z.strictObject({ name: text(4) }), 'An entry.'),
  either: optional(z.union([text(4), list(integer(0, 9), 'integers')]), 'Either.'),
});

describe('parse', () => {
  it('gives what a schema knows, and leaves out what it does not', () => {
    expect(parse(schema, { count: 3, names: null, made_up: 1 })).toEqual({ count: 3, names: null });
  });

  it.each([
    [{ count: 17 }, 'integer_above_max_value', 'count', /<= 16, but got 17/],
    [{ count: 1e300 }, 'integer_above_max_value', 'count', /<= 16, but got 1e\+300/],
    [{ count: Number.POSITIVE_INFINITY }, 'invalid_type', 'count', /an integer, but got a number too large/],
    [{ count: '3' }, 'invalid_type', 'count', /expected an integer, but got a string/],
    [{ share: -1 }, 'decimal_below_min_value', 'share', />= 0, but got -1/],
    [{ names: [] }, 'empty_array', 'names', /minimum length 1/],
    [{ names: ['a', 'b', 'c'] }, 'array_above_max_length', 'names', /maximum length 2, .* length 3/],
    [{ names: ['a', ''] }, 'empty_string', 'names[1]', /minimum length 1/],
    [{ names: ['abcde'] }, 'string_above_max_length', 'names[0]', /maximum length 4, .* length 5/],
    [{ names: 'a' }, 'invalid_type', 'names', /expected an array of strings/],
    [
      { labels: { a: '', b: '', c: '' } },
      'object_above_max_properties',
      'labels',
      /at most 2 properties, but got 3/,
    ],
    [{ labels: { long: '' } }, 'invalid_value', 'labels', /its keys are short/],
    [{ labels: { a: 1 } }, 'invalid_type', 'labels.a', /expected a string, but got an integer/],
    [{ mode: 'auto' }, 'unsupported_parameter', 'mode', /not supported/],
    [{ entry: { name: 'a', 'made up': 1 } }, 'unsupported_parameter', 'entry.made up', /not supported/],
    [{ entry: {} }, 'missing_required_parameter', 'entry.name', /entry\.name/],
    [{ entry: { name: null } }, 'missing_required_parameter', 'entry.name', /entry\.name/],
    [{ entry: [] }, 'invalid_type', 'entry', /expected an object, but got an array/],
    [{ either: 5 }, 'invalid_type', 'either', /one of a string or an array of integers, but got an integer/],
    [{ either: '' }, 'empty_string', 'either', /empty string/],
    [{ either: [1, 10] }, 'integer_above_max_value', 'either[1]', /<= 9/],
  ])('refuses %j with %s for %s', (body, code, param, message) => {
    const { code: was, param: at, message: words } = refusal(() => parse(schema, body));
    expect([was, at]).toEqual([code, param]);
    expect(words).toMatch(message);
  });

  it('quotes no more of a client than a line', () => {
    const long = 'x'.repeat(10_000);
    const bodies = [{ [`a${long}`]: 1, labels: { [long]: 1 } }, { entry: { name: 'a', [long]: 1 } }];
    for (const body of bodies) expect(refusal(() => parse(schema, body)).message.length).toBeLessThan(200);
  });
});

describe('the schemas of requests', () => {
  const shapes = {
    chatFields,
    completionFields,
    embeddingFields,
    mixtureFields,
    loraFields,
    responsesFields,
    detokenizeBody: detokenizeBody.shape,
    tokenizeChatBody: tokenizeChatBody.shape,
  };

  /** Checks within lists after which zod would go on to the next element. */
  function goingOn(schema: z.core.$ZodType, inList: boolean): string[] {
    const { def } = schema._zod as unknown as {
      def: {
        type: string;
        element?: z.core.$ZodType;
        innerType?: z.core.$ZodType;
        shape?: Record<string, z.core.$ZodType>;
        options?: z.core.$ZodType[];
        checks?: { _zod: { def: { check: string; abort?: boolean } } }[];
      };
    };
    const checks = inList ? (def.checks ?? []) : [];
    // Of a number's format what is not an integer ends it; one too large has a bound as well.
    const own = checks
      .map(({ _zod }) => _zod.def)
      .filter(({ check, abort }) => !abort && check !== 'number_format');
    const within = [def.element, def.innerType, ...(def.options ?? []), ...Object.values(def.shape ?? {})];
    return [
      ...own.map(({ check }) => `${def.type}: ${check}`),
      ...within.flatMap((each) => (each === undefined ? [] : goingOn(each, inList || def.type === 'array'))),
    ];
  }

  it.each(Object.entries(shapes))('%s stop at the first wrong element of a list', (_, shape) => {
    expect(Object.values(shape).flatMap((schema) => goingOn(schema, false))).toEqual([]);
  });
});

describe('hostile bodies', () => {
  const million = Array(1_000_000).fill(-1);
  const biases = Object.fromEntries(Array.from({ length: 100_000 }, (_, id) => [id, 1]));
  const chat = (fields: object) => () =>
    readChatRequest({ messages: [{ role: 'user', content: 'Hello' }], ...fields }, 1000);
  const completion = (fields: object) => () => readCompletionRequest({ prompt: 'Hello', ...fields }, 1000);

  it.each<[string, () => unknown, string]>([
    ['n of a million', chat({ n: 1_000_000 }), 'integer_above_max_value'],
    ['100,000 biases', chat({ logit_bias: biases }), 'object_above_max_properties'],
    ['a million messages', chat({ messages: million }), 'array_above_max_length'],
    ['50,000 wrong messages', chat({ messages: million.slice(0, 50_000) }), 'invalid_type'],
    ['a million wrong parts', chat({ messages: [{ role: 'user', content: million }] }), 'invalid_type'],
    ['a million wrong stop strings', chat({ stop: million }), 'invalid_type'],
    ['a million empty stop strings', chat({ stop: million.map(() => '') }), 'array_above_max_length'],
    ['a million stop tokens', chat({ stop_token_ids: million }), 'array_above_max_length'],
    [
      '50,000 empty messages',
      chat({ messages: Array.from({ length: 50_000 }, () => ({ role: 'user', content: [] })) }),
      'empty_array',
    ],
    ['a million tools', chat({ tools: million }), 'array_above_max_length'],
    ['a million modalities', chat({ modalities: million }), 'unsupported_parameter'],
    ['a million token ids', completion({ prompt: million }), 'array_above_max_length'],
    ['a million of one prompt', completion({ prompt: [million] }), 'array_above_max_length'],
    ['250,000 wrong ids', completion({ prompt: million.slice(0, 250_000) }), 'integer_below_min_value'],
    ['a million empty prompts', completion({ prompt: million.map(() => '') }), 'array_above_max_length'],
    ['a million adapters', () => readMixture({ adapters: million }), 'array_above_max_length'],
    ['a million ids of adapters', () => readLora({ lora: million }), 'array_above_max_length'],
  ])('refuses %s at once', (_, work, code) => {
    // The best of a few: this machine may be busy.
    const times = Array.from({ length: 3 }, () => {
      const began = performance.now();
      expect(refusal(work).code).toBe(code);
      return performance.now() - began;
    });
    expect(Math.min(...times)).toBeLessThan(50);
  });
});
