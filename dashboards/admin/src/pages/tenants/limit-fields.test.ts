import { expect, test } from 'vitest';
import { limitsOf, limitsText, modelsOf, textsOf } from './limit-fields.ts';

test('limits come back from their fields, with null for what is not limited', () => {
  const limits = { requests_per_minute: 60, budgets: { day: { tokens: 0 }, month: { money: 12.5 } } };
  expect(limitsOf(textsOf(limits))).toEqual({
    requests_per_minute: 60,
    tokens_per_minute: null,
    concurrent_requests: null,
    tokens_per_request: null,
    budgets: {
      day: { tokens: 0, money: null },
      month: { tokens: null, money: 12.5 },
      total: { tokens: null, money: null },
    },
  });
});

test('models are told apart by commas, spaces and lines; none are none', () => {
  expect(modelsOf(' base, acme/*\nglobex/sql ')).toEqual(['base', 'acme/*', 'globex/sql']);
  expect(modelsOf(' ')).toEqual([]);
});

test('limits are told in words', () => {
  expect(limitsText({ tokens_per_minute: 100_000, concurrent_requests: 8 })).toBe(
    '100,000 tokens a minute, 8 requests at the same time',
  );
  expect(limitsText({ requests_per_minute: null, budgets: { day: { tokens: 5 } } })).toBeNull();
});
