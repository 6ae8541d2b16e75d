import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

interface PageProps {
  readonly title: string;
  /** One sentence on what this page is for. */
  readonly lead?: ComponentChildren;
  /** Buttons beside the heading. */
  readonly actions?: ComponentChildren;
  readonly children: ComponentChildren;
}

/** Only the first page that is shown does not take the focus: the browser begins at its top anyhow. */
let isFirst = true;

/** A page's frame: its title in the tab, its heading, which has the focus when one comes from another page. */
export function Page({ title, lead, actions, children }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Polylora`;
  }, [title]);
  useEffect(() => {
    if (!isFirst) heading.current?.focus();
    isFirst = false;
  }, []);
  return (
    <>
      <div class="page-head">
        <div>
          <h1 ref={heading} tabIndex={-1}>
            {title}
          </h1>
          {lead !== undefined && <p class="lead">{lead}</p>}
        </div>
        {actions !== undefined && <div class="actions">{actions}</div>}
      </div>
      {children}
    </>
  );
}

interface PanelProps {
  readonly title: string;
  readonly actions?: ComponentChildren;
  /** What it shows is of before; what is asked for now comes. */
  readonly isOutdated?: boolean;
  readonly children: ComponentChildren;
}

/** A part of a page, with a heading of its own. */
export function Panel({ title, actions, isOutdated = false, children }: PanelProps) {
  return (
    <section class={isOutdated ? 'panel outdated' : 'panel'} aria-label={title} aria-busy={isOutdated}>
      <div class="panel-head">
        <h2>{title}</h2>
        {actions !== undefined && <div class="actions">{actions}</div>}
      </div>
      {children}
    </section>
  );
}
