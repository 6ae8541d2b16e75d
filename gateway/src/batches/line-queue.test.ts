import { describe, expect, it } from 'vitest';
import { lineOrder } from './line-order.ts';
import { LineQueue, type Queued } from './line-queue.ts';

interface Named extends Queued {
  readonly name: string;
  readonly model: string;
}

function line(tenant: string, model: string, name: string, payer: string | null = null): Named {
  return { tenant, payer, name, model, ...lineOrder(model, '', name) };
}

function addAll(queue: LineQueue<Named>, lines: readonly Named[]): void {
  for (const line of lines) queue.add(line);
}

/** Takes everything, one after the other. */
function names(queue: LineQueue<Named>): string[] {
  const taken: string[] = [];
  for (let next = queue.take(); next !== undefined; next = queue.take()) {
    taken.push(`${next.model}:${next.name}`);
    queue.release(next);
  }
  return taken;
}

describe('LineQueue', () => {
  it('runs the lines of several batches in one order', () => {
    const queue = new LineQueue<Named>();
    addAll(queue, [line('t', 'b', '1'), line('t', 'a', '1')]);
    addAll(queue, [line('t', 'a', '2'), line('t', 'b', '2')]);
    expect(names(queue).map((name) => name.slice(0, 1))).toEqual(['a', 'a', 'b', 'b']);
  });

  it('finishes its sweep before it turns to what came behind it', () => {
    const queue = new LineQueue<Named>();
    addAll(
      queue,
      ['b', 'c', 'd'].map((model) => line('t', model, 'old')),
    );
    expect(queue.take()?.model).toBe('b');
    addAll(queue, [line('t', 'a', 'new'), line('t', 'c', 'new')]);
    const rest = names(queue);
    expect(rest.slice(0, 2).sort()).toEqual(['c:new', 'c:old']);
    expect(rest.slice(2)).toEqual(['d:old', 'a:new']);
  });

  it('gives each tenant as many places as another, however many lines it has', () => {
    const queue = new LineQueue<Named>();
    addAll(
      queue,
      Array.from({ length: 100 }, (_, index) => line('large', 'a', String(index))),
    );
    const first = [queue.take(), queue.take(), queue.take(), queue.take()];
    expect(first.every((taken) => taken?.tenant === 'large')).toBe(true);
    addAll(
      queue,
      Array.from({ length: 3 }, (_, index) => line('small', 'b', String(index))),
    );
    expect([queue.take(), queue.take(), queue.take()].map((taken) => taken?.tenant)).toEqual([
      'small',
      'small',
      'small',
    ]);
    expect(queue.take()?.tenant).toBe('large');
  });

  it('takes turns between tenants with equally many', () => {
    const queue = new LineQueue<Named>();
    for (const tenant of ['x', 'y', 'z']) {
      addAll(
        queue,
        [1, 2, 3].map((index) => line(tenant, 'a', String(index))),
      );
    }
    const order: string[] = [];
    for (let next = queue.take(); next !== undefined; next = queue.take()) {
      order.push(next.tenant);
      queue.release(next);
    }
    expect(order).toEqual(['x', 'y', 'z', 'x', 'y', 'z', 'x', 'y', 'z']);
  });

  it('takes nothing of a key without room until it is told to, and then one at a time', () => {
    const queue = new LineQueue<Named>();
    const models = ['a', 'b', 'c', 'd'];
    addAll(
      queue,
      models.map((model) => line('t', model, 'poor', 'key_poor')),
    );
    addAll(
      queue,
      models.map((model) => line('t', model, 'rich', 'key_rich')),
    );
    addAll(
      queue,
      models.map((model) => line('u', model, 'other')),
    );
    const poor = queue.take();
    expect(poor).toMatchObject({ name: 'poor', model: 'a' });
    queue.hold(poor!);
    queue.release(poor!);
    expect(queue.size).toBe(12);
    // All others run, those of another key of its tenant as well.
    const others = names(queue);
    expect(others.filter((name) => name.endsWith(':rich'))).toHaveLength(4);
    expect(others.filter((name) => name.endsWith(':other'))).toHaveLength(4);
    expect(queue.size).toBe(4);

    queue.retry('t', 'key_rich');
    expect(queue.take()).toBeUndefined();
    queue.retry('t', 'key_poor');
    // It has kept its place.
    const again = queue.take();
    expect(again).toBe(poor);
    expect(queue.take()).toBeUndefined();
    queue.admitted(again!);
    const next = queue.take();
    expect(next).toMatchObject({ model: 'b' });
    queue.hold(next!);
    queue.release(next!);
    expect(queue.take()).toBeUndefined();
    // What ends has freed what it held.
    queue.release(again!);
    queue.retry('t');
    expect(names(queue)).toEqual(['b:poor', 'c:poor', 'd:poor']);
  });

  it('forgets the lines of a batch that ended', () => {
    const queue = new LineQueue<Named>();
    addAll(queue, [line('t', 'a', 'gone'), line('t', 'b', 'stays'), line('u', 'c', 'gone')]);
    queue.remove('t', ({ name }) => name === 'gone');
    queue.remove('u', () => true);
    expect(queue.size).toBe(1);
    expect(names(queue)).toEqual(['b:stays']);
    expect(queue.take()).toBeUndefined();
  });
});
