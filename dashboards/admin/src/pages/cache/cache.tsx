import type { ComponentType } from 'preact';
import { Off } from '../../components/off.tsx';
import { Page } from '../../components/page.tsx';
import { useSession } from '../../hooks/session.tsx';
import { Link } from '../../router/location.tsx';
import { Categories } from './categories.tsx';
import { Entries } from './entries.tsx';
import { Explain } from './explain.tsx';
import { Hits } from './hits.tsx';
import { Purge } from './purge.tsx';
import './cache.css';

interface Part {
  /** After `/cache/`; '' is the first. */
  readonly path: string;
  readonly title: string;
  readonly Component: ComponentType;
}

const PARTS: readonly Part[] = [
  { path: '', title: 'Categories', Component: Categories },
  { path: 'entries', title: 'Entries', Component: Entries },
  { path: 'hits', title: 'Hits', Component: Hits },
  { path: 'explain', title: 'Explain', Component: Explain },
  { path: 'purge', title: 'Purge', Component: Purge },
];

/** Answers that are given again. @param part which of its parts is shown */
export function Cache({ part = '' }: { readonly part?: string }) {
  const { server } = useSession();
  const shown = PARTS.find(({ path }) => path === part);
  return (
    <Page
      title="Semantic cache"
      lead="Questions that were asked before, in the same words or in others, are answered with what was answered then."
    >
      {server.cache === 'off' ? (
        <Off title="The answer cache is off">
          Start the server with <code>--cache semantic</code> to answer equal and similar questions from it,
          or with <code>--cache exact</code> for equal ones only.
        </Off>
      ) : (
        <>
          <nav class="tabs" aria-label="Parts of the cache">
            {PARTS.map(({ path, title }) => (
              <Link
                key={path}
                href={path === '' ? '/cache' : `/cache/${path}`}
                aria-current={path === part ? 'page' : undefined}
              >
                {title}
              </Link>
            ))}
          </nav>
          {server.cache === 'exact' && (
            <div class="note">
              <p>
                This server answers equal questions only and recognizes no categories. Similar ones need{' '}
                <code>--cache semantic</code>.
              </p>
            </div>
          )}
          {shown === undefined ? <p>There is no such part.</p> : <shown.Component />}
        </>
      )}
    </Page>
  );
}
