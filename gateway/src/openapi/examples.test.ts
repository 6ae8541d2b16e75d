import { expect, it } from 'vitest';
import { EXAMPLES } from './examples.ts';
import { OPERATIONS } from './operations.ts';

it.each(Object.entries(EXAMPLES))('the example of %s is taken by its schema', (named, example) => {
  const schema = OPERATIONS[named]?.request?.schema;
  expect(schema?.safeParse(example).error).toBeUndefined();
  expect(schema).toBeDefined();
});
