/**
 * Writes documents into a file of SQLite's without end until it is killed, and tells of each when it is written:
 * `node document-worker.mjs <file>`. JavaScript, and on the built gateway, because Node runs it as it is.
 */
import { randomUUID } from 'node:crypto';
import { writeSync } from 'node:fs';
import { SqlDocuments } from '../../gateway/dist/cache/documents/sql-documents.js';
import { createLogger } from '../../gateway/dist/logging.js';

const [, , file = ''] = process.argv;
const documents = await SqlDocuments.open({ location: file, logger: createLogger('silent') });
for (;;) {
  const lane = Array.from({ length: 50 }, async (_, index) => {
    const id = randomUUID();
    const text = id.repeat(1 + ((index * 37) % 300));
    const vector = new Float32Array(384).fill(index);
    const choice = { text, toolCalls: [], reason: /** @type {const} */ ('stop'), stopReason: null };
    const usage = { promptTokens: 1, completionTokens: text.length, cachedPromptTokens: 0 };
    await documents.put({
      ...{
        id,
        server: 's',
        partition: 'p',
        exactKey: id,
        tenant: `t${index % 3}`,
        model: 'm',
        root: 'r',
        category: 'c',
      },
      ...{ tags: [id, 'all'], createdAt: Date.now(), expiresAt: Date.now() + 1e6, bytes: text.length },
      ...{
        computeSeconds: 1,
        promptTokens: 1,
        completionTokens: text.length,
        question: text,
        vector,
        encoder: 'minilm',
      },
      ...{ signature: new Uint8Array(8).fill(index), answer: { choices: [{ ...choice, usage }] } },
    });
    writeSync(1, `${id}\n`);
  });
  await Promise.all(lane);
}
