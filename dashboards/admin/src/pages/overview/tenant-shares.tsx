import type { Snapshot } from '../../api/types.ts';
import { DataTable } from '../../components/data-table.tsx';
import { Panel } from '../../components/page.tsx';
import { compact, count, percent } from '../../format/numbers.ts';
import { Link } from '../../router/location.tsx';
import { to } from '../../router/router.ts';
import { serviceLately } from './shares.ts';

/** Who uses the machine, beside what each may use of it. */
export function TenantShares({ history }: { readonly history: readonly Snapshot[] }) {
  const shares = history.at(-1)?.tenants ?? [];
  const weights = shares.reduce((sum, { weight }) => sum + weight, 0);
  const lately = serviceLately(history);
  const service = [...lately.values()].reduce((sum, each) => sum + each, 0);
  return (
    <Panel title="Tenants now">
      <DataTable
        caption="Tenants, the busiest first"
        rows={shares}
        keyOf={({ tenant }) => tenant}
        columns={[
          { title: 'Tenant', cell: ({ tenant }) => <Link href={to('tenants', tenant)}>{tenant}</Link> },
          { title: 'Running', isNumber: true, cell: ({ running }) => count(running) },
          { title: 'Waiting', isNumber: true, cell: ({ sequences, running }) => count(sequences - running) },
          {
            title: 'Share of the service, 30 s',
            isNumber: true,
            cell: ({ tenant }) => percent(service === 0 ? null : (lately.get(tenant) ?? 0) / service, 0),
          },
          {
            title: 'Its due share',
            isNumber: true,
            cell: ({ weight }) => percent(weights === 0 ? null : weight / weights, 0),
          },
          { title: 'Weight', isNumber: true, cell: ({ weight }) => compact(weight) },
        ]}
      />
    </Panel>
  );
}
