import { expect, test } from 'vitest';
import { Batches } from './batches.ts';

test('what comes between two frames is handed over once, in its order', () => {
  const batches: (readonly number[])[] = [];
  const frames: (() => void)[] = [];
  const draw = () => frames.splice(0).forEach((frame) => void frame());
  const items = new Batches<number>(
    (all) => batches.push(all),
    (frame) => frames.push(frame),
  );
  for (let each = 0; each < 500; each++) items.add(each);
  expect([batches.length, frames.length]).toEqual([0, 1]);
  draw();
  draw();
  expect(batches).toEqual([Array.from({ length: 500 }, (_, each) => each)]);
  items.add(1);
  items.clear();
  items.add(2);
  draw();
  items.add(3);
  items.clear();
  draw();
  expect(batches.slice(1)).toEqual([[2]]);
});
