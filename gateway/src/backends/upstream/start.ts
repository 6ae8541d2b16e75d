import type { Logger } from '../../logging.ts';
import type { Backend } from '../backend.ts';
import type { PrefixSharing } from './request-body.ts';
import { UpstreamBackend } from './upstream.ts';

export interface UpstreamStart {
  readonly url: string;
  readonly key: string | null;
  readonly prefixCache: PrefixSharing;
  readonly logger: Logger;
  /** Takes lines for the person who started the server. */
  readonly say: (line: string) => void;
}

/**
 * Waits until the upstream is there: it may still load its model.
 * @throws UpstreamKeyRefused
 */
export async function startUpstream({ url, key, prefixCache, logger, say }: UpstreamStart): Promise<Backend> {
  const backend = new UpstreamBackend({ url, key, prefixes: prefixCache, logger });
  say(`Answers come from ${new URL(url).origin}. Waiting until it serves a model...`);
  try {
    await backend.start();
  } catch (error) {
    await backend.close();
    throw error;
  }
  return backend;
}
