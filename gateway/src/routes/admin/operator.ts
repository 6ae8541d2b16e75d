import type { Principal } from '@polylora/adapters-store';

/** What the operator's own adapters belong to. */
export const OPERATOR: Principal = { tenant: 'operator', key: null };
