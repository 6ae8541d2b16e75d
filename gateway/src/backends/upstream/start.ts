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
  const backend = new UpstreamBackend({
    url: options.url,
    key: options.key,
    prefixes: options.prefixCache,
    priorities: options.upstreamPriority,
    secret: options.secret,
    mostAnswerBytes: options.upstreamAnswerBytes,
    logger,
  });
  say(`Answers come from ${new URL(options.url).origin}. Waiting until it serves a model...`);
  try {
    await backend.start();
  } catch (error) {
    await backend.close();
    throw error;
  }
  return backend;
}
