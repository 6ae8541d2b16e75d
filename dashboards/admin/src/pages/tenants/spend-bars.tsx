import { ask, withQuery } from '../../api/client.ts';
import type { Limits, Page, SpendRow } from '../../api/types.ts';
import { Meter } from '../../components/meter.tsx';
import { ErrorNote } from '../../components/states.tsx';
import { compact, money } from '../../format/numbers.ts';
import { useResource } from '../../hooks/resource.ts';
import { budgetUses, spendFrom } from './budgets.ts';

const PERIOD_NAMES = { day: 'Today', month: 'This month', total: 'For good' } as const;

interface SpendBarsProps {
  /** Of a tenant or a key in the admin API. */
  readonly path: string;
  readonly limits: Limits;
}

/** A bar for each budget: what is used of it, by days and months in UTC as the server counts. */
export function SpendBars({ path, limits }: SpendBarsProps) {
  const now = Date.now();
  const from = spendFrom(limits, now);
  const spend = useResource(from === null ? null : `spend ${path} ${from}`, (signal) =>
    ask<Pick<Page<SpendRow>, 'data'>>('GET', withQuery(`${path}/spend`, { from, by: 'day' }), { signal }),
  );
  if (from === null) return <span class="muted">no budget</span>;
  if (spend.error !== null) return <ErrorNote error={spend.error} retry={spend.reload} />;
  return (
    <div class="spend-bars">
      {budgetUses(limits, spend.data?.data ?? [], now).map(({ period, unit, used, most }) => (
        <Meter
          key={`${period} ${unit}`}
          label={`${PERIOD_NAMES[period]}, ${unit}`}
          used={used}
          most={most}
          show={unit === 'money' ? money : compact}
        />
      ))}
    </div>
  );
}
