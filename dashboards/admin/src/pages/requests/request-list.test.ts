import { describe, expect, test } from 'vitest';
import type { RequestEntry } from '../../api/types.ts';
import {
  type KnownRequests,
  merged,
  NO_REQUESTS,
  passes,
  type RequestNews,
  withNews,
} from './request-list.ts';

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

describe('what is known of the requests', () => {
  const after = (...news: readonly RequestNews[]): KnownRequests => news.reduce(withNews, NO_REQUESTS);
  const states = ({ list }: KnownRequests) => Object.fromEntries(list.map(({ id, state }) => [id, state]));
  const running = (id: string, at: number) => entry(id, at, { state: 'running' });
  const OPENED = { kind: 'opened' } as const;
  const came = (...entries: RequestEntry[]) => ({ kind: 'came', entries }) as const;
  const page = (opening: number, ...entries: RequestEntry[]) => ({ kind: 'page', opening, entries }) as const;

  test('is a page of the list, and what came since it was asked for', () => {
    const known = after(
      OPENED,
      came(running('c', 3)),
      page(1, running('b', 2), entry('a', 1)),
      came(entry('b', 2)),
    );
    expect(states(known)).toEqual({ a: 'done', b: 'done', c: 'running' });
    expect(states(after(OPENED, page(1, entry('b', 2)), page(1, entry('a', 1))))).toEqual({
      a: 'done',
      b: 'done',
    });
  });

  test('is without a stream what the server tells when it is asked', () => {
    expect(states(after(page(0, running('a', 1))))).toEqual({ a: 'running' });
  });

  test('does not run for ever, where its end was missed or the server is another one', () => {
    const before = [OPENED, page(1, running('b', 2), running('a', 1)), OPENED] as const;
    // It stays to be seen until more is known.
    expect(states(after(...before))).toEqual({ a: 'running', b: 'running' });
    const known = after(...before, came(running('d', 4)), page(2, running('c', 3), entry('b', 2)));
    expect(states(known)).toEqual({ b: 'done', c: 'running', d: 'running' });
  });

  test('is not what was asked for before the stream was opened', () => {
    const known = after(
      OPENED,
      OPENED,
      page(1, running('a', 1)),
      page(2, entry('b', 2)),
      page(1, running('a', 1)),
    );
    expect(states(known)).toEqual({ b: 'done' });
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
