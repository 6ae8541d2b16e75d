/** Form fields with their labels, hints and problems tied to them. */
import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';

interface FieldProps {
  readonly label: string;
  readonly hint?: ComponentChildren;
  /** What is wrong with it. */
  readonly problem?: string | null;
}

interface TextFieldProps extends FieldProps {
  readonly value: string;
  readonly onInput: (value: string) => void;
  readonly type?: 'text' | 'password' | 'number' | 'search' | 'date';
  readonly placeholder?: string;
  readonly autoComplete?: string;
  readonly isRequired?: boolean;
  readonly isMono?: boolean;
  readonly min?: number;
  readonly step?: string;
  readonly list?: readonly string[];
}

export function TextField(props: TextFieldProps) {
  const { label, hint, problem, value, onInput, type = 'text', placeholder, autoComplete, list } = props;
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        // Its types tell inputs apart by a literal.
        type={type as 'text'}
        value={value}
        placeholder={placeholder}
        autoComplete={autoComplete}
        required={props.isRequired}
        class={props.isMono ? 'mono' : undefined}
        min={props.min}
        step={props.step}
        spellcheck={false}
        list={list === undefined ? undefined : `${id}-list`}
        aria-invalid={problem != null}
        aria-describedby={`${id}-about`}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
      {list !== undefined && (
        <datalist id={`${id}-list`}>
          {list.map((item) => (
            <option key={item} value={item} />
          ))}
        </datalist>
      )}
      <About id={`${id}-about`} hint={hint} problem={problem} />
    </div>
  );
}

interface TextAreaProps extends FieldProps {
  readonly value: string;
  readonly onInput: (value: string) => void;
  readonly rows?: number;
  readonly isRequired?: boolean;
  readonly placeholder?: string;
}

export function TextArea({ label, hint, problem, value, onInput, rows = 4, ...rest }: TextAreaProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <textarea
        id={id}
        rows={rows}
        value={value}
        required={rest.isRequired}
        placeholder={rest.placeholder}
        aria-invalid={problem != null}
        aria-describedby={`${id}-about`}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
      <About id={`${id}-about`} hint={hint} problem={problem} />
    </div>
  );
}

interface SelectFieldProps extends FieldProps {
  readonly value: string;
  readonly onInput: (value: string) => void;
  readonly options: readonly { readonly value: string; readonly label: string }[];
}

export function SelectField({ label, hint, problem, value, onInput, options }: SelectFieldProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select
        id={id}
        value={value}
        aria-describedby={`${id}-about`}
        onChange={(event) => onInput(event.currentTarget.value)}
      >
        {options.map((option) => (
          <option key={option.value} value={option.value} selected={option.value === value}>
            {option.label}
          </option>
        ))}
      </select>
      <About id={`${id}-about`} hint={hint} problem={problem} />
    </div>
  );
}

interface CheckboxProps {
  readonly label: ComponentChildren;
  readonly hint?: ComponentChildren;
  readonly isChecked: boolean;
  readonly onChange: (isChecked: boolean) => void;
}

export function Checkbox({ label, hint, isChecked, onChange }: CheckboxProps) {
  const id = useId();
  return (
    <div class="field checkbox">
      <input
        id={id}
        type="checkbox"
        checked={isChecked}
        aria-describedby={`${id}-about`}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
      <label for={id}>{label}</label>
      <About id={`${id}-about`} hint={hint} problem={null} />
    </div>
  );
}

interface SliderProps extends FieldProps {
  readonly value: number;
  readonly onInput: (value: number) => void;
  readonly min?: number;
  readonly max?: number;
  readonly step?: number;
  readonly show: (value: number) => string;
}

export function Slider({ label, hint, value, onInput, min = 0, max = 1, step = 0.01, show }: SliderProps) {
  const id = useId();
  return (
    <div class="field">
      <div class="slider-head">
        <label for={id}>{label}</label>
        <output for={id}>{show(value)}</output>
      </div>
      <input
        id={id}
        type="range"
        min={min}
        max={max}
        step={step}
        value={value}
        aria-valuetext={show(value)}
        aria-describedby={`${id}-about`}
        onInput={(event) => onInput(event.currentTarget.valueAsNumber)}
      />
      <About id={`${id}-about`} hint={hint} problem={null} />
    </div>
  );
}

interface AboutProps {
  readonly id: string;
  readonly hint: ComponentChildren;
  readonly problem: string | null | undefined;
}

function About({ id, hint, problem }: AboutProps) {
  return (
    <p id={id} class={problem == null ? 'hint' : 'hint bad-text'}>
      {problem ?? hint}
    </p>
  );
}
