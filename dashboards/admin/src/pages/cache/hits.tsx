import type { CacheHit } from '../../api/cache-types.ts';
import { ask } from '../../api/client.ts';
import { Badge } from '../../components/badge.tsx';
import { Panel } from '../../components/page.tsx';
import { Empty, Loaded } from '../../components/states.tsx';
import { duration } from '../../format/numbers.ts';
import { moment } from '../../format/times.ts';
import { useResource } from '../../hooks/resource.ts';
import { useSession } from '../../hooks/session.tsx';
import { hitReason } from './hit-reason.ts';

const EVERY_MS = 3_000;

/** The last answers that were given again, and why. */
export function Hits() {
  const { server } = useSession();
  const hits = useResource(
    'hits',
    (signal) => ask<{ data: readonly CacheHit[] }>('GET', '/admin/v1/cache/hits?limit=50', { signal }),
    { every: EVERY_MS },
  );
  return (
    <Panel title="Hits, the newest first">
      {!server.log_prompts && (
        <p class="small muted">
          What was asked is not kept with a hit (--log-prompts). The entry’s question is on Entries.
        </p>
      )}
      <Loaded resource={hits} rows={8}>
        {({ data }) =>
          data.length === 0 ? (
            <Empty title="No hits yet">
              Ask the same twice, with the answer cache switched on in the playground: the second one is here.
            </Empty>
          ) : (
            <ul class="hits">
              {data.map((hit) => (
                <HitItem key={`${hit.request_id} ${hit.at}`} hit={hit} />
              ))}
            </ul>
          )
        }
      </Loaded>
    </Panel>
  );
}

function HitItem({ hit }: { readonly hit: CacheHit }) {
  const { at, level, category, tenant, question, entry_question: entryQuestion } = hit;
  return (
    <li class="hit">
      <div class="chips">
        <span class="muted">{moment(at)}</span>
        <Badge tone={level === 'similar' ? 'accent' : 'good'}>{level}</Badge>
        <Badge>{category}</Badge>
        <span class="muted small">
          {tenant}, answered {duration(hit.age_seconds)} earlier
        </span>
      </div>
      {question !== null && <p class="question">{question}</p>}
      {entryQuestion !== null && entryQuestion !== question && (
        <p class="question muted">Answered as: {entryQuestion}</p>
      )}
      <p>{hitReason(hit)}</p>
      <p class="small muted">
        Request <code>{hit.request_id}</code>, entry <code>{hit.entry_id}</code>
      </p>
    </li>
  );
}
