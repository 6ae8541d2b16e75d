/** A server with OpenAI's API, as an upstream: what it answers is the test's own. */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { UpstreamBackend } from '../../gateway/src/backends/upstream/upstream.ts';
import { createLogger } from '../../gateway/src/logging.ts';

export interface TestUpstream {
  readonly url: string;
  readonly backend: UpstreamBackend;
  /** The bodies of all that it was asked. */
  readonly asked: readonly Readonly<Record<string, unknown>>[];
  stop(): Promise<void>;
}

export const USAGE = { prompt_tokens: 2, completion_tokens: 4 };

/** A completion that has used `USAGE`. */
export function answerCompletion(response: ServerResponse, usage = USAGE): void {
  response.end(JSON.stringify({ choices: [{ text: 'four', finish_reason: 'length' }], usage }));
}

/**
 * @param maxModelLen null: it does not tell
 * @param answer to all but the list of models
 */
export async function startUpstream(
  maxModelLen: number | null,
  answer: (response: ServerResponse) => void,
  options: Partial<ConstructorParameters<typeof UpstreamBackend>[0]> = {},
): Promise<TestUpstream> {
  const asked: Record<string, unknown>[] = [];
  const server = createServer(async (request, response) => {
    if (request.url === '/v1/models') {
      response.end(JSON.stringify({ data: [{ id: 'theirs', max_model_len: maxModelLen }] }));
      return;
    }
    asked.push((await json(request)) as Record<string, unknown>);
    answer(response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const backend = new UpstreamBackend({
    ...{ url, key: null, prefixes: 'off', priorities: 'off', secret: Buffer.alloc(32, 3) },
    ...{ mostAnswerBytes: 1 << 20, logger: createLogger('silent') },
    ...options,
  });
  await backend.start();
  return {
    url,
    backend,
    asked,
    async stop() {
      await backend.close();
      server.closeAllConnections();
      server.close();
    },
  };
}
