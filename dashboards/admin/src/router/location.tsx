/** The address bar as state: links that do not load the page anew, and the page's own parameters. */
import type { ComponentChildren, ComponentProps } from 'preact';
import { createContext } from 'preact';
import { useCallback, useContext, useEffect, useMemo, useState } from 'preact/hooks';
import { BASE, withinBase } from './router.ts';

interface Location {
  /** Within the dashboard. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly go: (path: string, options?: { readonly replaces?: boolean }) => void;
}

const Context = createContext<Location | null>(null);

export function LocationProvider({ children }: { readonly children: ComponentChildren }) {
  const [address, setAddress] = useState(addressNow);
  useEffect(() => {
    const onChange = () => setAddress(addressNow());
    addEventListener('popstate', onChange);
    return () => removeEventListener('popstate', onChange);
  }, []);
  const go = useCallback<Location['go']>((path, { replaces = false } = {}) => {
    history[replaces ? 'replaceState' : 'pushState'](null, '', `${BASE}${path}`);
    setAddress(addressNow());
  }, []);
  const location = useMemo(() => {
    const { pathname, search } = new URL(address, window.location.origin);
    return { path: withinBase(pathname), query: new URLSearchParams(search), go };
  }, [address, go]);
  return <Context.Provider value={location}>{children}</Context.Provider>;
}

export function useLocation(): Location {
  const location = useContext(Context);
  if (location === null) throw new Error('There is no LocationProvider around this.');
  return location;
}

/** One parameter of the address, such as a filter; null or '' takes it away. */
export function useQueryParam(name: string): [string, (value: string | null) => void] {
  const { path, query, go } = useLocation();
  const set = (value: string | null) => {
    const next = new URLSearchParams(query);
    if (value === null || value === '') next.delete(name);
    else next.set(name, value);
    const search = next.toString();
    go(search === '' ? path : `${path}?${search}`, { replaces: true });
  };
  return [query.get(name) ?? '', set];
}

interface LinkProps extends Pick<ComponentProps<'a'>, 'class' | 'children' | 'aria-current'> {
  /** Within the dashboard. */
  readonly href: string;
}

export function Link({ href, children, ...rest }: LinkProps) {
  const { go } = useLocation();
  const onClick = (event: MouseEvent) => {
    // Another tab or window is the browser's affair.
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(href);
  };
  return (
    <a {...rest} href={`${BASE}${href}`} onClick={onClick}>
      {children}
    </a>
  );
}

function addressNow(): string {
  return `${window.location.pathname}${window.location.search}`;
}
