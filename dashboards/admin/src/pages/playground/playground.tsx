import { useState } from 'preact/hooks';
import { ApiError, ask as askApi, pathOf } from '../../api/client.ts';
import type { Model, Page as PageOf } from '../../api/types.ts';
import { Checkbox, TextArea, TextField } from '../../components/fields.tsx';
import { Page } from '../../components/page.tsx';
import { Empty, Loaded } from '../../components/states.tsx';
import { useResource } from '../../hooks/resource.ts';
import { useSession } from '../../hooks/session.tsx';
import { Link, useLocation } from '../../router/location.tsx';
import { AnswerColumn } from './answer-column.tsx';
import { MOST_ADAPTERS, toggled } from './columns.ts';
import { ModelPicker } from './model-picker.tsx';
import { useAnswers } from './use-answers.ts';
import './playground.css';

/** One question to several models at once. */
export function Playground() {
  const asked = useLocation().query.get('adapter');
  const models = useResource(`models ${asked}`, (signal) => modelsWith(asked, signal));
  return (
    <Page
      title="Playground"
      lead={`One prompt to the base model and up to ${MOST_ADAPTERS} adapters at once: they share a batch, and stream side by side.`}
    >
      <Loaded resource={models} rows={10}>
        {(data) => {
          const generating = data.filter(({ task }) => task === 'generate');
          return generating.length === 0 ? (
            <Empty title="No model can be asked">
              The model is being made ready, or your key may use none. See the{' '}
              <Link href="/backends">backends</Link>.
            </Empty>
          ) : (
            <Comparison models={generating} asked={asked} />
          );
        }}
      </Loaded>
    </Page>
  );
}

/** What whoever is signed in may use. A list has not all of very many: @param name is asked for by itself */
async function modelsWith(name: string | null, signal: AbortSignal): Promise<readonly Model[]> {
  const { data } = await askApi<PageOf<Model>>('GET', '/v1/models', { signal });
  if (name === null || data.some(({ id }) => id === name)) return data;
  try {
    return [...data, await askApi<Model>('GET', pathOf('/v1/models', name), { signal })];
  } catch (error) {
    if (error instanceof ApiError && error.code === 'model_not_found') return data;
    throw error;
  }
}

interface ComparisonProps {
  readonly models: readonly Model[];
  /** The adapter that whoever came here wants to try; null: any. */
  readonly asked: string | null;
}

function Comparison({ models, asked }: ComparisonProps) {
  const { server } = useSession();
  const [said, setSaid] = useState('');
  const base = models.find(({ parent }) => parent === null)?.id ?? null;
  const adapters = models.filter(({ parent }) => parent !== null).map(({ id }) => id);
  // Who came to try something tries nothing else instead.
  const isAskedMissing = asked !== null && !adapters.includes(asked);
  const [usesBase, setUsesBase] = useState(base !== null && !isAskedMissing);
  const [chosen, setChosen] = useState<readonly string[]>(
    isAskedMissing ? [] : asked !== null ? [asked] : adapters.slice(0, base === null ? 1 : 2),
  );
  const [system, setSystem] = useState('');
  const [prompt, setPrompt] = useState('');
  const [maxTokens, setMaxTokens] = useState('200');
  const [temperature, setTemperature] = useState('0');
  const [seed, setSeed] = useState('');
  const [usesCache, setUsesCache] = useState(false);
  const { answers, isRunning, ask, stop } = useAnswers(setSaid);
  const targets = [...(usesBase && base !== null ? [base] : []), ...chosen];
  const canAsk = targets.length > 0 && prompt.trim() !== '';
  const submit = () => {
    if (!canAsk) return;
    void ask(targets, {
      messages: [
        ...(system.trim() === '' ? [] : [{ role: 'system' as const, content: system }]),
        { role: 'user', content: prompt },
      ],
      max_tokens: Number(maxTokens),
      temperature: Number(temperature),
      ...(seed.trim() === '' ? {} : { seed: Number(seed) }),
      usesCache,
    });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    submit();
  };
  return (
    <>
      {isAskedMissing && (
        <div class="note warn" role="status">
          <p>
            <strong>{asked} cannot be asked here.</strong>
          </p>
          <p>
            It is gone, was made for embeddings, or is another tenant’s: then an administrator of that tenant
            can try it, or an operator can grant it to others on its page.
          </p>
        </div>
      )}
      <form
        class="panel playground-form"
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
        onKeyDown={onKeyDown}
      >
        <div class="stack">
          <TextArea
            label="Prompt"
            value={prompt}
            onInput={setPrompt}
            rows={5}
            isRequired
            placeholder="My order arrived broken. What can I do?"
            hint="Ctrl and Enter asks."
          />
          <TextArea label="System prompt" value={system} onInput={setSystem} rows={2} hint="May be empty" />
        </div>
        <div class="stack">
          <ModelPicker
            base={base}
            usesBase={usesBase}
            onBase={setUsesBase}
            adapters={adapters}
            chosen={chosen}
            onToggle={(name) => setChosen(toggled(chosen, name))}
          />
          <div class="row narrow">
            <TextField
              label="Most tokens"
              type="number"
              min={1}
              value={maxTokens}
              onInput={setMaxTokens}
              isRequired
            />
            <TextField
              label="Temperature"
              type="number"
              min={0}
              step="any"
              value={temperature}
              onInput={setTemperature}
              isRequired
            />
            <TextField label="Seed" type="number" value={seed} onInput={setSeed} placeholder="any" />
          </div>
          {server.cache !== 'off' && (
            <Checkbox
              label="Use the answer cache"
              isChecked={usesCache}
              onChange={setUsesCache}
              hint="Without it each answer is made anew, and none is kept."
            />
          )}
          <div class="actions">
            <button type="submit" class="button primary" disabled={!canAsk}>
              {isRunning
                ? 'Ask again'
                : targets.length === 0
                  ? 'Ask'
                  : `Ask ${targets.length === 1 ? 'one model' : `${targets.length} models`}`}
            </button>
            <button type="button" class="button" disabled={!isRunning} onClick={() => stop()}>
              Stop all
            </button>
          </div>
        </div>
      </form>
      <p class="unseen" role="status">
        {said}
      </p>
      <div class="answers">
        {answers.map((answer) => (
          <AnswerColumn
            key={answer.model}
            answer={answer}
            isBase={answer.model === base}
            onStop={() => stop(answer.model)}
          />
        ))}
      </div>
    </>
  );
}
