import { useState } from 'preact/hooks';
import { ask, pathOf, withQuery } from '../../api/client.ts';
import type { Adapter } from '../../api/types.ts';
import { useAnnounce } from '../../components/announcer.tsx';
import { ConfirmDialog } from '../../components/confirm-dialog.tsx';
import { Page, Panel } from '../../components/page.tsx';
import { Loaded } from '../../components/states.tsx';
import { useResource } from '../../hooks/resource.ts';
import { useIsOperator } from '../../hooks/session.tsx';
import { Link, useLocation, useQueryParam } from '../../router/location.tsx';
import { Grants } from './grants.tsx';
import { Lineage } from './lineage.tsx';
import { Releases } from './releases.tsx';
import { Tags } from './tags.tsx';
import { UploadPanel } from './upload-panel.tsx';

/** One adapter: its versions and what may be done with them. */
export function AdapterPage({ name }: { readonly name: string }) {
  const isOperator = useIsOperator();
  const announce = useAnnounce();
  const { go } = useLocation();
  const [tenant] = useQueryParam('tenant');
  const [isUploading, setIsUploading] = useState(false);
  const [isDeleting, setIsDeleting] = useState(false);
  const path = pathOf('/admin/v1/adapters', name);
  const adapter = useResource(`adapter ${path} ${tenant}`, (signal) =>
    ask<Adapter>('GET', withQuery(path, { tenant }), { signal }),
  );
  const remove = async () => {
    await ask('DELETE', withQuery(path, { tenant }));
    announce(`${name} is deleted.`);
    go(withQuery('/adapters', { tenant }));
  };
  const context = { path, tenant, reload: adapter.reload };
  return (
    <Page
      title={name}
      lead={<Link href={withQuery('/adapters', { tenant })}>All adapters</Link>}
      actions={
        <>
          <Link class="button" href={withQuery('/playground', { adapter: name })}>
            Try it
          </Link>
          <button
            type="button"
            class="button"
            aria-expanded={isUploading}
            onClick={() => setIsUploading(!isUploading)}
          >
            {isUploading ? 'Close the upload' : 'Upload a version'}
          </button>
          <button type="button" class="button danger" onClick={() => setIsDeleting(true)}>
            Delete
          </button>
        </>
      }
    >
      <Loaded resource={adapter} rows={10}>
        {(data) => (
          <>
            {isUploading && (
              <UploadPanel
                name={name}
                releases={data.releases}
                owner={null}
                tenant={tenant === '' ? null : tenant}
                onDone={adapter.reload}
              />
            )}
            <Panel title="Versions">
              <Releases adapter={data} {...context} />
            </Panel>
            <div class="grid">
              <Panel title="Tags">
                <Tags adapter={data} {...context} />
              </Panel>
              <Panel title="Who may use it">
                <Grants adapter={data} canChange={isOperator} {...context} />
              </Panel>
              <Panel title="Lineage">
                <Lineage releases={data.releases} />
              </Panel>
            </div>
          </>
        )}
      </Loaded>
      {isDeleting && (
        <ConfirmDialog
          title={`Delete ${name}?`}
          action="Delete the adapter"
          typed={name}
          onConfirm={remove}
          onClose={() => setIsDeleting(false)}
        >
          <p>
            The name goes at once, with the files and the memory of every version that no other name has.
            Requests that run finish; new ones are answered that there is no such model. This cannot be
            undone.
          </p>
        </ConfirmDialog>
      )}
    </Page>
  );
}

/** What the parts of the page need to change the adapter. */
export interface AdapterContext {
  /** Of the adapter in the admin API. */
  readonly path: string;
  /** For whom an operator acts; '': for itself. */
  readonly tenant: string;
  readonly reload: () => void;
}
