import { expect, it } from 'vitest';
import { modelHome } from '../../../test/support/engine.ts';
import { loadConfig } from '../config/load.ts';
import { createLogger } from '../logging.ts';
import { createEncoder, encoderName } from './encoder.ts';

const logger = createLogger('silent');

it('calls a model as clients do, wherever it is from', () => {
  const names = [
    'all-MiniLM-L6-v2',
    'sentence-transformers/all-MiniLM-L6-v2@abc',
    '/models/all-MiniLM-L6-v2',
  ];
  for (const name of names) expect(encoderName(name), name).toBe('all-MiniLM-L6-v2');
  expect(encoderName('/models/all-MiniLM-L6-v2-ours')).toBe('all-MiniLM-L6-v2-ours');
});

it('signs questions where similar ones are to be verified, and only there', async () => {
  const signed: boolean[] = [];
  for (const cache of ['semantic', 'exact']) {
    const config = loadConfig(['--cache', cache], { POLYLORA_HOME: modelHome() });
    const encoder = createEncoder(config, logger, () => {});
    const [embedding] = await encoder!.embedder.embed({
      ...{ inputs: ['How do I reset my password?'], truncate: 'model', signature: true },
    });
    signed.push(embedding!.signature !== null);
    await encoder!.embedder.close();
  }
  expect(signed).toEqual([true, false]);
}, 120_000);

it('is none where there is to be none, or where an upstream has its own', () => {
  const none = [
    ['--embedding-model', 'none'],
    ['--upstream', 'http://127.0.0.1:1'],
    ['--upstream', 'http://127.0.0.1:1', '--cache', 'exact'],
  ];
  for (const flags of none) {
    expect(
      createEncoder(loadConfig(flags, {}), logger, () => {}),
      flags.join(' '),
    ).toBeNull();
  }
});
