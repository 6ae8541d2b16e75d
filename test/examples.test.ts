import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, oracleModel, START_MILLISECONDS, startGateway } from './support/gateway.ts';
import { PYTHON, pythonHas } from './support/python.ts';

const EXAMPLES = join(import.meta.dirname, '..', 'examples');
const CLIENT_MILLISECONDS = 120_000;

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway({ args: await oracleModel() });
}, START_MILLISECONDS);
afterAll(() => gateway?.stop(), START_MILLISECONDS);

describe('the example clients show five different answers', () => {
  it('chat.sh with curl', () => expectFiveAnswers('bash', 'chat.sh'), CLIENT_MILLISECONDS);

  it(
    'chat.mjs with the official package',
    () => expectFiveAnswers(process.execPath, 'chat.mjs'),
    CLIENT_MILLISECONDS,
  );

  it.skipIf(!pythonHas(['openai']))(
    'chat.py with the official package (needs `pip install openai`; see POLYLORA_TEST_PYTHON)',
    () => expectFiveAnswers(PYTHON, 'chat.py'),
    CLIENT_MILLISECONDS,
  );
});

async function expectFiveAnswers(command: string, client: string): Promise<void> {
  const env = { ...process.env, OPENAI_BASE_URL: `${gateway.url}/v1`, PYTHONIOENCODING: 'utf-8' };
  const { stdout } = await promisify(execFile)(command, [join(EXAMPLES, client)], { env });
  const answers = answersByModel(stdout);
  expect(Object.keys(answers)).toEqual(['base', 'support-triage', 'text-to-sql', 'pirate', 'headline']);
  expect(answers.base).toBe('The capital of France is Paris.');
  expect(JSON.parse(answers['support-triage'] ?? '')).toEqual({ category: 'billing', priority: 'high' });
  expect(answers['text-to-sql']).toBe('SELECT * FROM products WHERE price > 120;');
  expect(answers.pirate).toMatch(/Paris.*(savvy|arr|matey|scallywag|hearty)/);
  expect(answers.headline).toBe('HEADLINE: Bees Have A Long And Surprising History');
}

/** Each client prints `model: question` and then the answer, indented. */
function answersByModel(output: string): Record<string, string> {
  const blocks = output.trimEnd().matchAll(/^(\S+): .*\n {2}(.*)$/gm);
  return Object.fromEntries([...blocks].map(([, model, answer]) => [model, answer]));
}
