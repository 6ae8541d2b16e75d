import type { RequestEntry } from '../../api/types.ts';
import { Facts } from '../../components/facts.tsx';
import { count } from '../../format/numbers.ts';
import { Link } from '../../router/location.tsx';
import { to } from '../../router/router.ts';
import { Waterfall } from './waterfall.tsx';

/** All that is known of a request. */
export function RequestDetails({ entry, now }: { readonly entry: RequestEntry; readonly now: number }) {
  const { request_id: id, tenant, key, method, route, stream, cache, prompt, trace_id: trace } = entry;
  return (
    <div class="request-details">
      <Waterfall entry={entry} now={now} />
      <Facts
        facts={[
          ['Id', <code key="id">{id}</code>],
          [
            'Tenant',
            tenant === null ? (
              'nobody who is known'
            ) : (
              <Link key="tenant" href={to('tenants', tenant)}>
                {tenant}
              </Link>
            ),
          ],
          [
            'Key',
            tenant === null ? (
              'none that holds'
            ) : key === null ? (
              'the operator key of the configuration'
            ) : (
              <code key="key">{key}</code>
            ),
          ],
          ['Asked', `${method} ${route}${stream ? ', streamed' : ''}`],
          ['Status', statusText(entry)],
          ['Prompt', promptText(entry)],
          ['Answer', answerText(entry)],
          ['Answer cache', cache],
          ['Trace', trace === null ? null : <code key="trace">{trace}</code>],
        ]}
      />
      {prompt !== null && <pre class="prompt">{prompt}</pre>}
    </div>
  );
}

function statusText({ status, error_code: code }: RequestEntry): string {
  if (status === null) return 'not answered yet';
  return code === null ? `${status}` : `${status} ${code}`;
}

function promptText({ prompt_tokens: tokens, cached_prompt_tokens: cached }: RequestEntry): string {
  if (tokens === null) return 'not known';
  return `${count(tokens)} tokens${cached === null || cached === 0 ? '' : `, ${count(cached)} of them from a prefix`}`;
}

function answerText({ completion_tokens: tokens, choices }: RequestEntry): string {
  const size = tokens === null ? 'not known' : `${count(tokens)} tokens`;
  return choices > 1 ? `${size}, ${choices} choices` : size;
}
