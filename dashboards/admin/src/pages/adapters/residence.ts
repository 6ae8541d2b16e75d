import { ask } from '../../api/client.ts';
import type { PoolMap, PoolOwner } from '../../api/types.ts';
import { type Resource, useResource } from '../../hooks/resource.ts';
import { useSession } from '../../hooks/session.tsx';

/** What of an adapter is in the engine's memory. */
export type Residence = Extract<PoolOwner, { readonly kind: 'adapter' }>;

const EVERY_MS = 2_000;

/** Who is in the memory of this server's engine, by digest. null for who may not see that, and where there is no engine here. */
export function useResidence(): Resource<ReadonlyMap<string, Residence>> | null {
  const { role, server } = useSession();
  const isSeen = role === 'operator' && server.backend === 'engine';
  const residence = useResource(
    isSeen ? 'residence' : null,
    async (signal) => {
      const { owners } = await ask<PoolMap>('GET', '/admin/v1/pool', { signal });
      return new Map(owners.flatMap((owner) => (owner.kind === 'adapter' ? [[owner.digest, owner]] : [])));
    },
    { every: EVERY_MS },
  );
  return isSeen ? residence : null;
}
