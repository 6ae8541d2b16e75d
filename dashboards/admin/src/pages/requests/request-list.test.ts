import { describe, expect, test } from 'vitest';
import type { RequestEntry } from '../../api/types.ts';
import { merged, passes } from './request-list.ts';

const entry = (id: string, at: number, fields: Partial<RequestEntry> = {}) =>
  ({
    id,
    at,
    state: 'done',
    tenant: 'acme',
    model: 'base',
    route: '/v1/completions',
    ...fields,
  }) as RequestEntry;

describe('merged', () => {
  test('keeps the newest first, each once', () => {
    const list = merged([entry('b', 2), entry('a', 1)], [entry('c', 3), entry('a', 1)]);
    expect(list.map(({ id }) => id)).toEqual(['c', 'b', 'a']);
  });

  test('the end of a request takes the place of its beginning, and not the other way round', () => {
    const begun = entry('a', 1, { state: 'running' });
    const ended = entry('a', 1, { state: 'failed' });
    expect(merged([begun], [ended])).toEqual([ended]);
    expect(merged([ended], [begun])).toEqual([ended]);
  });

  test('keeps a thousand', () => {
    const many = Array.from({ length: 1_200 }, (_, index) => entry(`${index}`, index));
    const list = merged([], many);
    expect(list).toHaveLength(1_000);
    expect(list[0]?.id).toBe('1199');
  });
});

test('an empty filter passes all, any other must match', () => {
  const none = { tenant: '', model: '', route: '', state: '' } as const;
  expect(passes(entry('a', 1), none)).toBe(true);
  expect(passes(entry('a', 1), { ...none, tenant: 'acme', state: 'done' })).toBe(true);
  for (const filter of [
    { tenant: 'globex' },
    { model: 'acme/x' },
    { route: '/v1/x' },
    { state: 'failed' as const },
  ]) {
    expect(passes(entry('a', 1), { ...none, ...filter })).toBe(false);
  }
});
