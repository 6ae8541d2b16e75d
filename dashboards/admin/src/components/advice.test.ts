import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { ADVICE } from './advice.ts';

/** What is not the gateway's: a connection that fails, and a mistake of the page. */
const OWN = ['network', 'dashboard'];
const errors = await readFile(new URL('../../../../docs/errors.md', import.meta.url), 'utf8');

test('advice is for codes that there are', () => {
  const unknown = Object.keys(ADVICE).filter(
    (code) => !OWN.includes(code) && !errors.includes(`\`${code}\``),
  );
  expect(unknown).toEqual([]);
});
