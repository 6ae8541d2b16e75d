import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BatchQueue, type WaitingInput } from './batch-queue.ts';

const inputs = (request: number, lengths: readonly number[]): WaitingInput[] =>
  lengths.map((length, index) => ({ request, index, ids: Array(length).fill(7) }));

const names = (batch: readonly WaitingInput[]) => batch.map(({ request, index }) => `${request}.${index}`);

test('what has room in a batch runs together, whoever asked, a request’s own first', () => {
  const queue = new BatchQueue(20);
  queue.add(0, inputs(0, [5, 16, 5]));
  queue.add(1, inputs(1, [5, 9, 5]));
  expect(names(queue.take())).toEqual(['0.0', '0.2', '1.0', '1.2']);
  expect(names(queue.take())).toEqual(['1.1']);
  expect(names(queue.take())).toEqual(['0.1']);
  expect(queue.take()).toEqual([]);
  expect(queue.isEmpty).toBe(true);
});

test('one text waits for a single batch of a request of thousands', () => {
  const queue = new BatchQueue(10);
  queue.add(0, inputs(0, Array(2000).fill(5)));
  expect(names(queue.take())).toEqual(['0.0', '0.1']);
  queue.add(1, inputs(1, [3]));
  expect(names(queue.take())).toEqual(['0.2', '0.3']);
  expect(names(queue.take())).toEqual(['1.0', '0.4']);
});

test('nothing is lost or run twice, and batches keep their bound', () => {
  const lengths = fc.array(fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 12 }), { maxLength: 6 });
  fc.assert(
    fc.property(lengths, fc.integer({ min: 1, max: 20 }), (requests, most) => {
      const queue = new BatchQueue(most);
      for (const [request, of] of requests.entries()) queue.add(request, inputs(request, of));
      const taken: string[] = [];
      while (!queue.isEmpty) {
        const batch = queue.take();
        const tokens = batch.reduce((sum, { ids }) => sum + ids.length, 0);
        expect(batch.length === 1 || tokens <= most).toBe(true);
        taken.push(...names(batch));
      }
      const all = requests.flatMap((of, request) => names(inputs(request, of)));
      expect(taken.sort()).toEqual(all.sort());
    }),
  );
});

test('what was dropped does not run', () => {
  const queue = new BatchQueue(10);
  queue.add(0, inputs(0, [2]));
  queue.add(1, inputs(1, [2]));
  queue.drop(0);
  expect(names(queue.take())).toEqual(['1.0']);
});

test('what nobody waits for runs when nothing else does', () => {
  const queue = new BatchQueue(10);
  queue.add(0, inputs(0, [5, 3, 3]), true);
  queue.add(1, inputs(1, [3, 4]));
  expect(names(queue.take())).toEqual(['1.0', '1.1']);
  expect(names(queue.take())).toEqual(['0.0', '0.1']);
  queue.add(2, inputs(2, [5]));
  expect(names(queue.take())).toEqual(['2.0']);
  expect(names(queue.take())).toEqual(['0.2']);
});
