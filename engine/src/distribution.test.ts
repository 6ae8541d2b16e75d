import { describe, expect, it } from 'vitest';
import { Counted } from './distribution.ts';

describe('Counted', () => {
  it('counts a value in every bucket whose upper end it does not exceed', () => {
    const counted = new Counted([1, 2, 4]);
    for (const value of [0, 1, 2, 3, 4, 5, 100]) counted.observe(value);
    expect(counted.distribution).toEqual({
      count: 7,
      sum: 115,
      buckets: [
        { le: 1, count: 2 },
        { le: 2, count: 3 },
        { le: 4, count: 5 },
      ],
    });
  });

  it('tells seconds as times', () => {
    const counted = new Counted([0.5]);
    counted.observe(0.25);
    counted.observe(2);
    expect(counted.times).toEqual({ count: 2, seconds: 2.25, buckets: [{ seconds: 0.5, count: 1 }] });
  });
});
