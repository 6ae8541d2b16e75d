import type { Snapshot } from '../../api/types.ts';
import { DataTable } from '../../components/data-table.tsx';
import { Panel } from '../../components/page.tsx';
import { compact, count, percent } from '../../format/numbers.ts';
import { Link } from '../../router/location.tsx';
import { to } from '../../router/router.ts';

/** Who uses the machine, beside what each may use of it. */
export function TenantShares({ shares }: { readonly shares: Snapshot['tenants'] }) {
  const weights = shares.reduce((sum, { weight }) => sum + weight, 0);
  const service = shares.reduce((sum, share) => sum + share.service, 0);
  return (
    <Panel title="Tenants now">
      <DataTable
        caption="Tenants, the busiest first"
        rows={shares}
        keyOf={({ tenant }) => tenant}
        columns={[
          { title: 'Tenant', cell: ({ tenant }) => <Link href={to('tenants', tenant)}>{tenant}</Link> },
          { title: 'Running', isNumber: true, cell: ({ sequences }) => count(sequences) },
          {
            title: 'Share of the service',
            isNumber: true,
            cell: (share) => percent(service === 0 ? null : share.service / service, 0),
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
