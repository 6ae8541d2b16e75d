import { THEMES, type Theme, useTheme } from '../hooks/theme.ts';

const NAMES: Readonly<Record<Theme, string>> = { system: 'As the system', light: 'Light', dark: 'Dark' };

export function ThemeSwitch() {
  const [theme, choose] = useTheme();
  return (
    <select
      class="theme-switch"
      aria-label="Colours"
      value={theme}
      onChange={(event) => choose(event.currentTarget.value as Theme)}
    >
      {THEMES.map((name) => (
        <option key={name} value={name} selected={name === theme}>
          {NAMES[name]}
        </option>
      ))}
    </select>
  );
}
