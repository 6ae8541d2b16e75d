import { ask, withQuery } from '../../api/client.ts';
import type { Page, SpendRow } from '../../api/types.ts';
import { DataTable } from '../../components/data-table.tsx';
import { SelectField } from '../../components/fields.tsx';
import { Panel } from '../../components/page.tsx';
import { Empty, Loaded } from '../../components/states.tsx';
import { count, money } from '../../format/numbers.ts';
import { utcDay } from '../../format/times.ts';
import { useResource } from '../../hooks/resource.ts';
import { useQueryParam } from '../../router/location.tsx';

const DAYS = 30;
const DAY_MS = 86_400_000;
const GROUPS = [
  { value: 'model', label: 'By model', title: 'Model' },
  { value: 'day', label: 'By day', title: 'Day' },
  { value: 'key', label: 'By key', title: 'Key' },
] as const;

/** What was used in the last month. @param path of a tenant in the admin API */
export function SpendPanel({ path }: { readonly path: string }) {
  const [chosen, setGroup] = useQueryParam('by');
  const { value: group, title } = GROUPS.find(({ value }) => value === chosen) ?? GROUPS[0];
  const from = utcDay(Date.now() - DAYS * DAY_MS);
  const spend = useResource(`${path} ${group} ${from}`, (signal) =>
    ask<Pick<Page<SpendRow>, 'data'>>('GET', withQuery(`${path}/spend`, { from, by: group }), { signal }),
  );
  return (
    <Panel
      title={`Spent in ${DAYS} days`}
      actions={<SelectField label="Sums" value={group} onInput={setGroup} options={GROUPS} />}
    >
      <Loaded resource={spend}>
        {({ data }) =>
          data.length === 0 ? (
            <Empty title="Nothing was used">
              Sums appear here a second after the first request with one of its keys.
            </Empty>
          ) : (
            <DataTable
              caption="What was used"
              rows={data}
              keyOf={(row) => row[group] ?? ''}
              columns={[
                { title, cell: (row) => row[group] ?? '' },
                { title: 'Requests', isNumber: true, cell: ({ requests }) => count(requests) },
                { title: 'Prompt tokens', isNumber: true, cell: (row) => count(row.prompt_tokens) },
                { title: 'Of them cached', isNumber: true, cell: (row) => count(row.cached_tokens) },
                { title: 'Answer tokens', isNumber: true, cell: (row) => count(row.completion_tokens) },
                { title: 'Money', isNumber: true, cell: (row) => money(row.money) },
              ]}
            />
          )
        }
      </Loaded>
    </Panel>
  );
}
