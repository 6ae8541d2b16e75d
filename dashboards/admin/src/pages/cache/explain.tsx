import { useState } from 'preact/hooks';
import type { Explanation } from '../../api/cache-types.ts';
import { ask } from '../../api/client.ts';
import { Badge } from '../../components/badge.tsx';
import { DataTable } from '../../components/data-table.tsx';
import { TextArea, TextField } from '../../components/fields.tsx';
import { Panel } from '../../components/page.tsx';
import { Empty, ErrorNote } from '../../components/states.tsx';
import { TenantSelect } from '../../components/tenant-select.tsx';
import { percent } from '../../format/numbers.ts';
import { useAction } from '../../hooks/action.ts';
import { useIsOperator } from '../../hooks/session.tsx';

/** What the cache would do with a question, and why. */
export function Explain() {
  const isOperator = useIsOperator();
  const [question, setQuestion] = useState('');
  const [tenant, setTenant] = useState('');
  const [model, setModel] = useState('');
  const [category, setCategory] = useState('');
  const [explanation, setExplanation] = useState<Explanation | null>(null);
  const { isBusy, error, run } = useAction();
  const onSubmit = (event: Event) => {
    event.preventDefault();
    const given = Object.entries({ tenant, model, category }).filter(([, value]) => value.trim() !== '');
    const body = { question, ...Object.fromEntries(given) };
    void run(async () => setExplanation(await ask<Explanation>('POST', '/admin/v1/cache/explain', { body })));
  };
  return (
    <>
      <Panel title="Explain a question">
        <form class="stack" onSubmit={onSubmit}>
          <TextArea
            label="Question"
            value={question}
            onInput={setQuestion}
            rows={3}
            isRequired
            hint="As a user would write it. Nothing is asked of a model, and nothing is kept."
          />
          <div class="row">
            {isOperator && <TenantSelect label="Tenant" value={tenant} onInput={setTenant} none="Any" />}
            <TextField label="Model" value={model} onInput={setModel} placeholder="Any" />
            <TextField label="Category" value={category} onInput={setCategory} placeholder="Find it out" />
          </div>
          {error !== null && <ErrorNote error={error} />}
          <div class="actions">
            <button type="submit" class="button primary" disabled={isBusy || question.trim() === ''}>
              {isBusy ? 'Looking …' : 'Explain'}
            </button>
          </div>
        </form>
      </Panel>
      <div class="explained" role="status">
        {explanation !== null && <Explained explanation={explanation} />}
      </div>
    </>
  );
}

function Explained({ explanation }: { readonly explanation: Explanation }) {
  const { category, classified_by: by, threshold, strictness, candidates } = explanation;
  const hit = candidates.find(({ is_hit: isHit }) => isHit);
  return (
    <Panel title={hit === undefined ? 'It would be a miss' : 'It would be a hit'}>
      <div class="stack">
        <p>
          Its category is <strong>{category}</strong> (
          {by === 'classifier' ? 'found out by its examples' : 'as it was named'}): similarity from{' '}
          {threshold.toFixed(3)}, strictness {strictness.toFixed(2)}.
        </p>
        {candidates.length === 0 ? (
          <Empty title="Nothing near it is kept">
            It would be answered anew, and kept for the next such question.
          </Empty>
        ) : (
          <DataTable
            caption="Entries that are near, the nearest first"
            rows={candidates}
            keyOf={(candidate) => candidate.entry_id}
            columns={[
              {
                title: 'Kept question',
                cell: (candidate) => (
                  <>
                    <div class="question">{candidate.question ?? 'not shown'}</div>
                    <code class="small muted">{candidate.entry_id}</code>
                  </>
                ),
              },
              { title: 'Similarity', isNumber: true, cell: ({ similarity }) => similarity.toFixed(3) },
              { title: 'Verifier', isNumber: true, cell: ({ probability }) => percent(probability, 0) },
              {
                title: 'Outcome',
                cell: (candidate) => (
                  <>
                    {candidate.is_hit ? <Badge tone="good">hit</Badge> : <Badge>no hit</Badge>}{' '}
                    {candidate.because}
                  </>
                ),
              },
            ]}
          />
        )}
      </div>
    </Panel>
  );
}
