import type { ComponentChildren } from 'preact';
import { Empty } from './states.tsx';

interface OffProps {
  readonly title: string;
  /** Why it is not there, and how to turn it on. */
  readonly children: ComponentChildren;
}

/** Stands where this server has nothing to show. */
export function Off({ title, children }: OffProps) {
  return (
    <div class="panel">
      <Empty title={title}>{children}</Empty>
    </div>
  );
}

/** Stands where a tenant's administrator came by an address that is an operator's. */
export function OperatorsOnly() {
  return (
    <Off title="This is for operators">
      It shows all tenants together. Sign out, and sign in with an operator’s key to see it.
    </Off>
  );
}
