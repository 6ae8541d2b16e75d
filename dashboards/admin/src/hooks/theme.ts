import { useEffect, useState } from 'preact/hooks';

const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

const STORED = 'polylora-theme';
const CHANGED = 'polylora-theme-changed';

/** Puts the theme that was chosen in place, before anything is drawn. */
export function applyTheme(theme: Theme = storedTheme()): void {
  const { dataset } = document.documentElement;
  if (theme === 'system') delete dataset.theme;
  else dataset.theme = theme;
  dispatchEvent(new Event(CHANGED));
}

/** The theme, and a way to choose another, which is remembered in this browser. */
export function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useState(storedTheme);
  const choose = (chosen: Theme) => {
    try {
      localStorage.setItem(STORED, chosen);
    } catch {
      // It holds until the page is left.
    }
    setTheme(chosen);
    applyTheme(chosen);
  };
  return [theme, choose];
}

/** A number that changes with the colours, for what is drawn on a canvas. */
export function useColoursVersion(): number {
  const [version, setVersion] = useState(0);
  useEffect(() => {
    const onChange = () => setVersion((old) => old + 1);
    const media = matchMedia('(prefers-color-scheme: dark)');
    media.addEventListener('change', onChange);
    addEventListener(CHANGED, onChange);
    return () => {
      media.removeEventListener('change', onChange);
      removeEventListener(CHANGED, onChange);
    };
  }, []);
  return version;
}

let probe: HTMLElement | null = null;

/** One of the theme's colours, such as `--accent`, as a canvas takes it: `rgb(31, 95, 191)`. */
export function themeColour(variable: string): string {
  // A variable's own value is its text, with both themes' colours; what it comes to is seen where it is used.
  probe ??= document.body.appendChild(document.createElement('i'));
  probe.hidden = true;
  probe.style.color = `var(${variable})`;
  return getComputedStyle(probe).color;
}

/** The same colour, so much of it seen through. @param alpha 0 to 1 */
export function translucent(colour: string, alpha: number): string {
  return colour.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`);
}

function storedTheme(): Theme {
  try {
    const stored = localStorage.getItem(STORED);
    return THEMES.find((theme) => theme === stored) ?? 'system';
  } catch {
    return 'system';
  }
}
