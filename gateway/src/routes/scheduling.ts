import type { Access } from '../access/access.ts';
import type { SchedulingOptions } from '../openai/scheduling.ts';
import type { GatewayDeps } from './deps.ts';

/** How whoever asks stands to others. */
export function schedulingOf({ principal, tenant }: Access, deps: GatewayDeps): SchedulingOptions {
  return {
    tenant: principal.tenant,
    weight: tenant?.weight ?? 1,
    allowPriority: deps.allowPriority || (tenant?.allowPriority ?? false),
  };
}
