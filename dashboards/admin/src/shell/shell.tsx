import { useEffect, useState } from 'preact/hooks';
import type { Session } from '../api/types.ts';
import { Page } from '../components/page.tsx';
import { useAction } from '../hooks/action.ts';
import { Link, useLocation } from '../router/location.tsx';
import { match } from '../router/router.ts';
import { navigationFor, ROUTES } from './routes.ts';
import { ThemeSwitch } from './theme-switch.tsx';

interface ShellProps {
  readonly session: Session;
  readonly signOut: () => Promise<void>;
}

/** What is around every page: the bar at the top, the list of pages, the place where a page goes. */
export function Shell({ session, signOut }: ShellProps) {
  const { path } = useLocation();
  const [isMenuOpen, setIsMenuOpen] = useState(false);
  const { isBusy, error, run } = useAction();
  // Another page closes the menu.
  useEffect(() => setIsMenuOpen(false), [path]);
  const who = session.role === 'operator' ? 'Operator' : `Administrator of ${session.tenant}`;
  return (
    <div class="shell">
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <header class="topbar">
        <button
          type="button"
          class="button quiet icon menu-button"
          aria-expanded={isMenuOpen}
          aria-controls="navigation"
          onClick={() => setIsMenuOpen(!isMenuOpen)}
        >
          <span aria-hidden="true">☰</span>
          <span class="unseen">Pages</span>
        </button>
        <Link href="/" class="brand">
          <span class="brand-mark" aria-hidden="true" />
          Polylora
        </Link>
        <p class="topbar-model" title={session.server.model ?? undefined}>
          {session.server.model ?? ''}
        </p>
        <p class="topbar-who">{who}</p>
        <button type="button" class="button" disabled={isBusy} onClick={() => void run(signOut)}>
          Sign out
        </button>
      </header>
      <nav id="navigation" class={isMenuOpen ? 'navigation open' : 'navigation'} aria-label="Pages">
        <ul>
          {navigationFor(session).map((item) => (
            <li key={item.path}>
              <Link href={item.path} aria-current={isWithin(path, item.path) ? 'page' : undefined}>
                {item.title}
                {item.isOff && <span class="nav-off">off</span>}
              </Link>
            </li>
          ))}
        </ul>
        <div class="navigation-foot">
          <ThemeSwitch />
          <p>
            {who}
            <br />
            Version {session.server.version}
          </p>
        </div>
      </nav>
      <main id="main" tabIndex={-1}>
        {error !== null && (
          <div class="note bad" role="alert">
            <p>
              <strong>You are still signed in: signing out failed.</strong>
            </p>
            <p>{error.message}</p>
          </div>
        )}
        <CurrentPage path={path} />
      </main>
    </div>
  );
}

function CurrentPage({ path }: { readonly path: string }) {
  const found = match(ROUTES, path);
  if (found === null) {
    return (
      <Page title="No such page">
        <p>
          The dashboard has no page <code>{path}</code>. <Link href="/">Go to the overview</Link>
        </p>
      </Page>
    );
  }
  const { value: Component, params } = found;
  // The page of another thing begins anew; another part of the same page does not.
  return <Component key={params.name ?? params.id} {...params} />;
}

function isWithin(path: string, item: string): boolean {
  return path === item || (item !== '/' && path.startsWith(`${item}/`));
}
