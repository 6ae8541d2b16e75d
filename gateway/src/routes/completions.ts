import { completionJob } from '../jobs/completion.ts';
import type { GatewayDeps } from './deps.ts';
import { generateRoute } from './generate.ts';

/** `POST /v1/completions` */
export function completionsRoute(deps: GatewayDeps) {
  return generateRoute(deps, '/v1/completions', completionJob);
}
