import { expect, test } from 'vitest';
import { Quotas } from './quotas.ts';

const entry = (id: string, { tenant = 'a', bytes = 100, computeSeconds = 1 } = {}) => ({
  id,
  tenant,
  bytes,
  computeSeconds,
});

function quotas(maxEntries: number, maxBytes = 1e9) {
  return new Quotas(() => ({ maxEntries, maxBytes, priority: 1 }));
}

test('what saves the least for its size leaves first', () => {
  const held = quotas(3);
  expect(held.add('x', entry('cheap', { computeSeconds: 0.1 }))).toEqual([]);
  expect(held.add('x', entry('large', { bytes: 5_000 }))).toEqual([]);
  expect(held.add('x', entry('good'))).toEqual([]);
  expect(held.add('x', entry('better', { computeSeconds: 2 }))).toEqual(['large']);
  expect(held.add('x', entry('best', { computeSeconds: 3 }))).toEqual(['cheap']);
  expect(held.usage('x')).toEqual({ entries: 3, bytes: 300 });
});

test('what is used often stays, and not for ever', () => {
  const held = quotas(2);
  held.add('x', entry('popular'));
  for (let i = 0; i < 5; i++) held.hit('popular');
  // Each that leaves raises what newcomers begin with, until they are worth more than old glory.
  let gone = '';
  let added = 0;
  while (gone !== 'popular' && added < 100) {
    for (const id of held.add('x', entry(`new ${added++}`))) gone = id;
  }
  expect(added).toBeGreaterThan(4);
  expect(gone).toBe('popular');
});

test('bytes are bounded, and what is larger than all of it is not taken', () => {
  const held = quotas(100, 1_000);
  expect(held.add('x', entry('huge', { bytes: 2_000 }))).toEqual(['huge']);
  for (let i = 0; i < 50; i++) held.add('x', entry(`e${i}`, { bytes: 90 }));
  expect(held.usage('x').bytes).toBeLessThanOrEqual(1_000);
});

test('who fills a category drives out nobody but themselves', () => {
  const held = quotas(100);
  for (let i = 0; i < 10; i++) held.add('x', entry(`quiet ${i}`, { tenant: 'quiet', computeSeconds: 0.001 }));
  const gone = new Set<string>();
  for (let i = 0; i < 1_000; i++) {
    for (const id of held.add('x', entry(`loud ${i}`, { tenant: 'loud', computeSeconds: 9 }))) gone.add(id);
  }
  expect(gone.size).toBe(910);
  expect([...gone].filter((id) => id.startsWith('quiet'))).toEqual([]);
});

test('what leaves is of whoever holds the most, however many there are', () => {
  const mostEntries = 60;
  const held = quotas(mostEntries);
  const counts = new Map<string, number>();
  const owners = new Map<string, string>();
  const drop = (id: string) => {
    const owner = owners.get(id)!;
    owners.delete(id);
    counts.set(owner, counts.get(owner)! - 1);
    return owner;
  };
  let seed = 1;
  const random = (below: number) => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  for (let i = 0; i < 5_000; i++) {
    const tenant = `t${random(1 + random(20))}`;
    owners.set(`${i}`, tenant);
    counts.set(tenant, (counts.get(tenant) ?? 0) + 1);
    const most = Math.max(...counts.values());
    for (const id of held.add('x', entry(`${i}`, { tenant, computeSeconds: 1 + random(5) }))) {
      expect(counts.get(drop(id))).toBe(most - 1);
    }
    const gone = `${random(i + 1)}`;
    if (random(3) === 0 && owners.has(gone)) {
      drop(gone);
      held.remove(gone);
    }
    expect(held.usage('x')).toEqual({ entries: owners.size, bytes: 100 * owners.size });
  }
});

test('nothing takes longer for all the tenants that there are', () => {
  const tenants = 20_000;
  const held = quotas(tenants);
  for (let i = 0; i < tenants; i++) held.add('x', entry(`first ${i}`, { tenant: `t${i}` }));
  const started = performance.now();
  for (let i = 0; i < tenants; i++) {
    held.hit(`first ${i}`);
    held.add('x', entry(`second ${i}`, { tenant: `u${i}` }));
    if (i % 2 === 0) held.remove(`second ${i}`);
  }
  // Looking at each of them took minutes.
  expect(performance.now() - started).toBeLessThan(5_000);
});

test('categories have quotas of their own, and an id is in one of them', () => {
  const held = quotas(1);
  held.add('x', entry('1'));
  expect(held.add('y', entry('2'))).toEqual([]);
  held.add('y', entry('1'));
  expect(held.usage('x').entries).toBe(0);
  expect(held.usage('y').entries).toBe(1);
  held.remove('1');
  held.remove('2');
  expect(held.usage('y')).toEqual({ entries: 0, bytes: 0 });
});
