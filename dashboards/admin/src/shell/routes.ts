/** Which pages there are. A page's code comes when it is first opened. */
import type { Session } from '../api/types.ts';
import type { Route } from '../router/router.ts';
import { lazy, type PageComponent } from './lazy.tsx';

const CACHE = lazy(async () => (await import('../pages/cache/cache.tsx')).Cache);

export const ROUTES: readonly Route<PageComponent>[] = [
  { pattern: '/', value: lazy(async () => (await import('../pages/overview/overview.tsx')).Overview) },
  {
    pattern: '/adapters',
    value: lazy(async () => (await import('../pages/adapters/adapters.tsx')).Adapters),
  },
  {
    pattern: '/adapters/:name',
    value: lazy(async () => (await import('../pages/adapters/adapter-page.tsx')).AdapterPage),
  },
  { pattern: '/pool', value: lazy(async () => (await import('../pages/pool/pool.tsx')).Pool) },
  { pattern: '/tenants', value: lazy(async () => (await import('../pages/tenants/tenants.tsx')).Tenants) },
  {
    pattern: '/tenants/:id',
    value: lazy(async () => (await import('../pages/tenants/tenant-page.tsx')).TenantPage),
  },
  { pattern: '/cache', value: CACHE },
  { pattern: '/cache/:part', value: CACHE },
  {
    pattern: '/requests',
    value: lazy(async () => (await import('../pages/requests/requests.tsx')).Requests),
  },
  {
    pattern: '/playground',
    value: lazy(async () => (await import('../pages/playground/playground.tsx')).Playground),
  },
  {
    pattern: '/backends',
    value: lazy(async () => (await import('../pages/backends/backends.tsx')).Backends),
  },
];

interface NavigationItem {
  readonly path: string;
  readonly title: string;
  /** Whether the server has it, as far as the session knows; what it lacks is said on its page. */
  readonly isOff: boolean;
}

/** The pages that whoever is signed in may see: an operator's own are left out for a tenant's administrator. */
export function navigationFor({ role, server }: Session): readonly NavigationItem[] {
  const isOperator = role === 'operator';
  const items = [
    { path: '/', title: 'Overview' },
    { path: '/adapters', title: 'Adapters' },
    { path: '/pool', title: 'Page pool', isOff: server.backend !== 'engine', isForOperators: true },
    {
      path: '/tenants',
      title: isOperator ? 'Tenants and keys' : 'Tenant and keys',
      isOff: !server.checks_keys,
    },
    { path: '/cache', title: 'Semantic cache', isOff: server.cache === 'off' },
    { path: '/requests', title: 'Requests' },
    { path: '/playground', title: 'Playground' },
    { path: '/backends', title: 'Backends', isForOperators: true },
  ];
  return items
    .filter(({ isForOperators = false }) => isOperator || !isForOperators)
    .map(({ path, title, isOff = false }) => ({ path, title, isOff }));
}
