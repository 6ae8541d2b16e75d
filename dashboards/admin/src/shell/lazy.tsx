import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Loading } from '../components/states.tsx';

// biome-ignore lint/suspicious/noExplicitAny: pages take parameters of their own
export type PageComponent = ComponentType<any>;

/** A page whose code is fetched when it is first shown. */
export function lazy(load: () => Promise<PageComponent>): PageComponent {
  let loaded: PageComponent | null = null;
  return function Lazy(props: object) {
    const [Component, setComponent] = useState<PageComponent | null>(() => loaded);
    const [hasFailed, setHasFailed] = useState(false);
    useEffect(() => {
      if (Component !== null) return;
      load().then(
        (component) => {
          loaded = component;
          setComponent(() => component);
        },
        () => setHasFailed(true),
      );
    }, [Component]);
    if (hasFailed) return <LoadFailed />;
    return Component === null ? <Loading rows={6} /> : <Component {...props} />;
  };
}

function LoadFailed() {
  return (
    <div class="note bad" role="alert">
      <p>
        <strong>This page could not be loaded.</strong>
      </p>
      <p>The server is away, or has been updated since this page was opened.</p>
      <button type="button" class="button" onClick={() => window.location.reload()}>
        Reload
      </button>
    </div>
  );
}
