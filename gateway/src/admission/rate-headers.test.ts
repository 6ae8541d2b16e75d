import { describe, expect, it } from 'vitest';
import { durationText, rateHeaders } from './rate-headers.ts';

describe('headers of limits per minute', () => {
  it.each([
    [0, '0ms'],
    [16.2, '17ms'],
    [999, '999ms'],
    [8_640, '8.64s'],
    [59_994, '1m0s'],
    [60_000, '1m0s'],
    [360_000, '6m0s'],
  ])('tell %d ms as %s', (milliseconds, text) => {
    expect(durationText(milliseconds)).toBe(text);
  });

  it('are there for the limits that there are', () => {
    expect(rateHeaders({ requests: null, tokens: null })).toEqual({});
    const tokens = { limit: 100, remaining: 41.5, resetMilliseconds: 500 };
    expect(rateHeaders({ requests: null, tokens })).toEqual({
      'x-ratelimit-limit-tokens': '100',
      'x-ratelimit-remaining-tokens': '41',
      'x-ratelimit-reset-tokens': '500ms',
    });
  });
});
