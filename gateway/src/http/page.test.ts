import { describe, expect, it } from 'vitest';
import { page } from './page.ts';

const ITEMS = ['c', 'b', 'a'].map((id) => ({ id }));

function read(query: Readonly<Record<string, string>>): object {
  return page(ITEMS, query, { defaultLimit: 2, maxLimit: 10 }, ({ id }) => ({ is: id }));
}

describe('page', () => {
  it('is the part that was asked for', () => {
    expect(read({})).toEqual({
      object: 'list',
      data: [{ is: 'c' }, { is: 'b' }],
      first_id: 'c',
      last_id: 'b',
      has_more: true,
    });
    expect(read({ after: 'b' })).toMatchObject({ data: [{ is: 'a' }], has_more: false });
    expect(read({ order: 'asc', limit: '1' })).toMatchObject({ data: [{ is: 'a' }], has_more: true });
    expect(read({ after: 'a' })).toMatchObject({ data: [], first_id: null, last_id: null, has_more: false });
  });

  it.each([
    [{ limit: 'many' }, 'limit', 'invalid_type'],
    [{ limit: '1.5' }, 'limit', 'invalid_type'],
    [{ limit: '' }, 'limit', 'invalid_type'],
    [{ limit: '0' }, 'limit', 'integer_below_min_value'],
    [{ limit: '11' }, 'limit', 'integer_above_max_value'],
    [{ order: 'random' }, 'order', 'invalid_value'],
    [{ after: 'z' }, 'after', 'invalid_value'],
  ])('refuses %j', (query, param, code) => {
    expect(() => read(query)).toThrow(expect.objectContaining({ param, code }));
  });
});
