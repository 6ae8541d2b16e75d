import { useState } from 'preact/hooks';
import { Checkbox, TextField } from '../../components/fields.tsx';
import { Link } from '../../router/location.tsx';
import { MOST_ADAPTERS } from './columns.ts';

interface ModelPickerProps {
  readonly base: string | null;
  readonly usesBase: boolean;
  readonly onBase: (usesIt: boolean) => void;
  readonly adapters: readonly string[];
  readonly chosen: readonly string[];
  readonly onToggle: (adapter: string) => void;
}

/** Above so many a search is easier than a list. */
const MANY = 12;
const MOST_SHOWN = 40;

/** Which models are asked. */
export function ModelPicker({ base, usesBase, onBase, adapters, chosen, onToggle }: ModelPickerProps) {
  const [search, setSearch] = useState('');
  const found = adapters.filter((name) => name.toLowerCase().includes(search.trim().toLowerCase()));
  // What is chosen stays in sight, whatever is searched for.
  const listed = [...chosen, ...found.filter((name) => !chosen.includes(name)).slice(0, MOST_SHOWN)];
  const isFull = chosen.length >= MOST_ADAPTERS;
  return (
    <fieldset class="model-picker">
      <legend>Models</legend>
      {base !== null && <Checkbox label={`Base: ${base}`} isChecked={usesBase} onChange={onBase} />}
      {adapters.length > MANY && (
        <TextField label="Find an adapter" type="search" value={search} onInput={setSearch} />
      )}
      {adapters.length === 0 ? (
        <p class="hint">
          There are no adapters yet. <Link href="/adapters">Upload one</Link> to compare it with the base.
        </p>
      ) : (
        <ul class="model-list">
          {listed.map((name) => (
            <li key={name}>
              <label class={isFull && !chosen.includes(name) ? 'choice muted' : 'choice'}>
                <input
                  type="checkbox"
                  checked={chosen.includes(name)}
                  disabled={isFull && !chosen.includes(name)}
                  onChange={() => onToggle(name)}
                />
                {name}
              </label>
            </li>
          ))}
        </ul>
      )}
      {isFull && <p class="hint">{MOST_ADAPTERS} adapters are chosen, which is as many as fit.</p>}
    </fieldset>
  );
}
