import { useState } from 'preact/hooks';
import { TextField } from '../../components/fields.tsx';
import { BUDGETS, COUNTS, type LimitTexts } from './limit-fields.ts';
import './tenants.css';

interface LimitsFieldsProps {
  readonly texts: LimitTexts;
  readonly onInput: (texts: LimitTexts) => void;
}

/** The fields of limits, folded away where there are none; what is left empty is not limited. */
export function LimitsFields({ texts, onInput }: LimitsFieldsProps) {
  const [wasOpen] = useState(() => Object.values(texts).some((text) => text !== ''));
  const field = (name: string, label: string, isMoney = false) => (
    <TextField
      key={name}
      label={label}
      type="number"
      min={0}
      step={isMoney ? 'any' : '1'}
      placeholder="no limit"
      value={texts[name] ?? ''}
      onInput={(text) => onInput({ ...texts, [name]: text })}
    />
  );
  return (
    <details class="limits" open={wasOpen}>
      <summary>Limits and budgets</summary>
      <fieldset>
        <legend>Limits</legend>
        <div class="limit-fields four">{COUNTS.map(({ field: name, label }) => field(name, label))}</div>
      </fieldset>
      <fieldset>
        <legend>Budgets</legend>
        <div class="limit-fields">
          {BUDGETS.map(({ period, unit, label }) => field(`${period} ${unit}`, label, unit === 'money'))}
        </div>
        <p class="hint">Days and months are in UTC. Money needs prices: what has no price costs nothing.</p>
      </fieldset>
    </details>
  );
}
