import { chatJob } from '../jobs/chat.ts';
import type { GatewayDeps } from './deps.ts';
import { generateRoute } from './generate.ts';

/** `POST /v1/chat/completions` */
export function chatCompletionsRoute(deps: GatewayDeps) {
  return generateRoute(deps, '/v1/chat/completions', chatJob);
}
