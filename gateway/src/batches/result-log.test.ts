import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { contentOf } from './file-store.ts';
import { type LineResult, ResultLog } from './result-log.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'polylora-results-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function result(custom_id: string): LineResult {
  const body = { choices: [{ text: 'ü\n' }], usage: { prompt_tokens: 1, completion_tokens: 2 } };
  return {
    id: `batch_req_${custom_id}`,
    custom_id,
    response: { status_code: 200, request_id: 'req_1', body },
    error: null,
  };
}

/** Opens the log with the ids that it has. */
async function open(): Promise<{ log: ResultLog; ids: string[] }> {
  const ids: string[] = [];
  const log = await ResultLog.open(folder, ({ custom_id }) => ids.push(custom_id));
  return { log, ids };
}

describe('ResultLog', () => {
  it('keeps all results in the order they came, however many at once', async () => {
    const names = Array.from({ length: 500 }, (_, index) => `line-${index}`);
    const { log } = await open();
    await Promise.all(names.map((name) => log.append(result(name))));
    await log.close();
    const lines = (await readFile(contentOf(folder), 'utf8')).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual(names.map(result));
    const again = await open();
    expect(again.ids).toEqual(names);
    await again.log.close();
  });

  it('waits for results that are on their way when it is closed', async () => {
    const { log } = await open();
    const written = log.append(result('last'));
    await log.close();
    await written;
    const { log: again, ids } = await open();
    expect(ids).toEqual(['last']);
    await again.close();
  });

  it.each([
    ['half a line', JSON.stringify(result('half')).slice(0, 60)],
    ['a whole line without its end', JSON.stringify(result('half'))],
    ['zeros', '\0'.repeat(5000)],
    ['a line that is not a result, and all after it', `{"custom_id":"x"}\n${JSON.stringify(result('y'))}\n`],
  ])('cuts off %s, and goes on after what is whole', async (_, rest) => {
    const first = await open();
    await first.log.append(result('whole'));
    await first.log.close();
    const whole = await readFile(contentOf(folder), 'utf8');
    await appendFile(contentOf(folder), rest);
    const { log, ids } = await open();
    expect(ids).toEqual(['whole']);
    expect(await readFile(contentOf(folder), 'utf8')).toBe(whole);
    await log.append(result('next'));
    await log.close();
    const { log: last, ids: all } = await open();
    expect(all).toEqual(['whole', 'next']);
    await last.close();
  });
});
