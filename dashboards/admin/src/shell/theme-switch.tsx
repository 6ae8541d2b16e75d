import { SelectField } from '../components/fields.tsx';
import { type Theme, useTheme } from '../hooks/theme.ts';

const NAMES: readonly { readonly value: Theme; readonly label: string }[] = [
  { value: 'system', label: 'As the system has' },
  { value: 'light', label: 'Light' },
  { value: 'dark', label: 'Dark' },
];

export function ThemeSwitch() {
  const [theme, choose] = useTheme();
  return (
    <SelectField
      label="Colours"
      value={theme}
      onInput={(chosen) => choose(chosen as Theme)}
      options={NAMES}
    />
  );
}
