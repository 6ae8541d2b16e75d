import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { ADVICE } from './advice.ts';

/** What is not the gateway's: a connection that fails, and a mistake of the page. */
const OWN = ['network', 'dashboard'];
/** Of the dashboard's sessions. */
const OF_SESSIONS = ['session_required', 'csrf_token_required', 'too_many_attempts'];
const errors = await readFile(new URL('../../../../docs/errors.md', import.meta.url), 'utf8');

test('advice is for codes that there are', () => {
  const unknown = Object.keys(ADVICE).filter(
    (code) => ![...OWN, ...OF_SESSIONS].includes(code) && !errors.includes(`\`${code}\``),
  );
  expect(unknown).toEqual([]);
});
