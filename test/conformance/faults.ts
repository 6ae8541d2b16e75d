/** A gateway whose upstream fails as it is told to: what clients make of failures that the real model never has. */
import type { ServerResponse } from 'node:http';
import { startGateway } from '../support/gateway.ts';
import { startUpstream } from '../support/upstream.ts';

/** What the upstream says before it breaks off, and why. */
export const SAID_BEFORE = ['one ', 'two ', 'three '];
export const BROKEN_BY = { code: 'numerical_error', message: 'The numbers went wrong after three words.' };

export interface FaultyServer {
  readonly baseUrl: string;
  /** How often the upstream was asked. */
  readonly asked: number;
  /** The next answer is a stream that ends with an error. */
  breakStream(): void;
  /** The next answer is 503, and those after it are good again. */
  refuseOnce(): void;
  stop(): Promise<void>;
}

export async function startFaultyServer(): Promise<FaultyServer> {
  let next: ((response: ServerResponse) => void) | null = null;
  const upstream = await startUpstream(1_000, (response) => {
    const answer = next ?? answered;
    next = null;
    answer(response);
  });
  const gateway = await startGateway({
    adapters: null,
    args: ['--upstream', upstream.url, '--embedding-model', 'none'],
  });
  return {
    baseUrl: `${gateway.url}/v1`,
    get asked() {
      return upstream.asked.length;
    },
    breakStream() {
      next = broken;
    },
    refuseOnce() {
      next = refused;
    },
    async stop() {
      await gateway.stop();
      await upstream.stop();
    },
  };
}

function answered(response: ServerResponse): void {
  const choice = { message: { role: 'assistant', content: 'fine' }, finish_reason: 'stop' };
  response.end(JSON.stringify({ choices: [choice], usage: { prompt_tokens: 2, completion_tokens: 1 } }));
}

function broken(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const content of SAID_BEFORE)
    response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`);
  response.end(`data: ${JSON.stringify({ error: BROKEN_BY })}\n\n`);
}

function refused(response: ServerResponse): void {
  response.writeHead(503, { 'retry-after-ms': '50', 'retry-after': '1' });
  response.end(JSON.stringify({ error: { message: 'warming up' } }));
}
