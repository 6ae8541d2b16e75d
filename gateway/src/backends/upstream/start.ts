import type { Logger } from '../../logging.ts';
import type { Backend } from '../backend.ts';
import type { PrefixSharing, PriorityOrder } from './request-body.ts';
import { UpstreamBackend } from './upstream.ts';

export interface UpstreamStart {
  readonly url: string;
  readonly key: string | null;
  readonly prefixCache: PrefixSharing;
  readonly upstreamPriority: PriorityOrder;
  readonly upstreamAnswerBytes: number;
  readonly secret: Buffer;
  readonly logger: Logger;
  /** Takes lines for the person who started the server. */
  readonly say: (line: string) => void;
}

/**
 * Waits until the upstream is there: it may still load its model.
 * @throws UpstreamKeyRefused
 */
export async function startUpstream({ logger, say, ...options }: UpstreamStart): Promise<Backend> {
  const { url, key, prefixCache, upstreamPriority, upstreamAnswerBytes, secret } = options;
  const backend = new UpstreamBackend({
    ...{ url, key, prefixes: prefixCache, priorities: upstreamPriority, secret, logger },
    mostAnswerBytes: upstreamAnswerBytes,
  });
  say(`Answers come from ${new URL(url).origin}. Waiting until it serves a model...`);
  try {
    await backend.start();
  } catch (error) {
    await backend.close();
    throw error;
  }
  return backend;
}
