import { describe, expect, it } from 'vitest';
import { Disks } from './disks.ts';

const USE = { free: 1, size: 2 };

describe('disks', () => {
  it('are told of by what their directories are called, those that are not there left out', async () => {
    const found = await new Disks().read({ store: '/', data: '/nowhere/at/all' });
    expect([...found.keys()]).toEqual(['store']);
    const { free, size } = found.get('store')!;
    expect(free).toBeGreaterThan(0);
    expect(size).toBeGreaterThan(free);
  });

  it('that hang hold up nobody for long, are asked once, and are told of again when they answer', async () => {
    const asked: string[] = [];
    let answer = () => {};
    const hanging = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const disks = new Disks(async (path) => {
      asked.push(path);
      if (path === '/away') await hanging;
      return USE;
    });
    const paths = { store: '/', data: '/away' };
    const started = performance.now();
    const found = await Promise.all([disks.read(paths), disks.read(paths)]);
    expect(performance.now() - started).toBeLessThan(5_000);
    expect(found.map((each) => [...each.keys()])).toEqual([['store'], ['store']]);
    expect(asked.filter((path) => path === '/away')).toHaveLength(1);
    answer();
    expect((await disks.read(paths)).get('data')).toEqual(USE);
    await disks.read(paths);
    expect(asked.filter((path) => path === '/away')).toHaveLength(2);
  });
});
