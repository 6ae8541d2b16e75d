import { expect, test } from 'vitest';
import type { Snapshot } from '../../api/types.ts';
import { serviceLately } from './shares.ts';

/** A second, and what the tenants with work have been charged for since the engine started. */
const second = (at: number, service: Readonly<Record<string, number | null>>) =>
  ({
    at: at * 1_000,
    tenants: Object.entries(service).map(([tenant, tokens]) => ({ tenant, service: tokens })),
  }) as unknown as Snapshot;

const shares = (...history: Snapshot[]) => Object.fromEntries(serviceLately(history));

test('is what tenants got in the last half minute, not what they had before', () => {
  const history = Array.from({ length: 100 }, (_, at) => second(at, { acme: 5_000 + 20 * at, new: 10 * at }));
  expect(shares(...history)).toEqual({ acme: 600, new: 300 });
  expect(shares()).toEqual({});
});

test('is also of those that have no work any more, and of those that have some now and then', () => {
  expect(
    shares(
      ...[
        second(1, { gone: 10, seldom: 5 }),
        second(2, { gone: 50 }),
        second(3, {}),
        second(20, { seldom: 9 }),
      ],
    ),
  ).toEqual({ gone: 40, seldom: 4 });
  expect(shares(second(1, { gone: 10 }), second(2, { gone: 50 }), second(40, {}))).toEqual({});
});

test('goes on where the engine was started again, and is nothing where it does not tell', () => {
  expect(shares(second(1, { acme: 100 }), second(2, { acme: 130 }), second(9, { acme: 7 }))).toEqual({
    acme: 37,
  });
  expect(shares(second(1, { acme: null }), second(2, { acme: null }))).toEqual({});
});
