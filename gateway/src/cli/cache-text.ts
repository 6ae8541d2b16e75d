/** What the answer cache has and does, in words. */
import { z } from 'zod';
import { byteText, table, timeText } from './text.ts';

const size = { entries: z.number(), bytes: z.number() };
export const statusJson = z.object({
  tenant: z.string().nullable(),
  finds: z.enum(['exact', 'similar']),
  embedding: z.object({ state: z.string() }).nullable(),
  since: z.number(),
  ...size,
  in_memory: z.object(size).nullable(),
  index: z.object(size).nullable(),
  store: z.object({ state: z.string() }).nullable(),
  load: z.object({ wait_ms: z.number(), target_ms: z.number(), relaxation: z.number() }).nullable(),
  categories: z.array(
    z.object({
      name: z.string(),
      enabled: z.boolean(),
      recognized: z.boolean(),
      similarity_threshold: z.number(),
      ttl_seconds: z.number(),
      ...size,
      hits: z.object({ exact: z.number(), similar: z.number(), shared: z.number() }),
      misses: z.number(),
      reports: z.number(),
      hit_rate: z.number().nullable(),
      break_even_hit_rate: z.number().nullable(),
      saved: z.object({ compute_seconds: z.number() }),
      false_hits: z.object({ low: z.number(), high: z.number(), checked: z.number() }).nullable(),
    }),
  ),
});
export const entryJson = z.object({
  id: z.string(),
  tenant: z.string(),
  model: z.string(),
  category: z.string(),
  tags: z.array(z.string()),
  created: z.number(),
  bytes: z.number(),
  hits: z.number(),
  question: z.string().nullish(),
});
export const entriesJson = z.object({
  data: z.array(entryJson),
  last_id: z.string().nullable(),
  has_more: z.boolean(),
});
export const purgeJson = z.object({ ...size });

/** Longer questions are cut: a table has one line for each. */
const MOST_SHOWN = 80;

export function statusText(status: z.infer<typeof statusJson>): string {
  const { tenant, finds, embedding, since, in_memory: memory, index, store, load, categories } = status;
  const rows = [
    ...(tenant === null ? [] : [['tenant', tenant]]),
    ['entries', sizeText(status)],
    ['finds', finds === 'exact' ? 'equal questions' : 'equal and similar questions'],
    ...(embedding === null || embedding.state === 'ready'
      ? []
      : [['embedding', `${embedding.state}: answers are kept only where the category is named`]]),
    ...(memory === null ? [] : [['in memory', `${sizeText(memory)} of answers`]]),
    ...(index === null ? [] : [['index', sizeText(index)]]),
    ...(store === null ? [] : [['store', store.state]]),
    ...(load === null
      ? []
      : [
          ['wait', `${load.wait_ms.toFixed(0)} ms (target ${load.target_ms} ms)`],
          ['relaxation', shareText(load.relaxation)],
        ]),
    ['counts since', timeText(since * 1000)],
  ];
  const titles = ['CATEGORY', 'ENTRIES', 'SIZE', 'THRESHOLD', 'TTL', 'EXACT', 'SIMILAR', 'SHARED', 'MISSES'];
  const body = categories.map((category) => {
    const { name, enabled, recognized, hits, false_hits: wrong } = category;
    return [
      enabled ? name : `${name} (${recognized ? 'off' : 'off where it is named'})`,
      String(category.entries),
      byteText(category.bytes),
      category.similarity_threshold.toFixed(3),
      durationText(category.ttl_seconds),
      ...[hits.exact, hits.similar, hits.shared, category.misses].map(String),
      shareText(category.hit_rate),
      shareText(category.break_even_hit_rate),
      durationText(category.saved.compute_seconds),
      wrong === null || wrong.checked === 0 ? '-' : `${shareText(wrong.low)} to ${shareText(wrong.high)}`,
      String(category.reports),
    ];
  });
  return `${table(rows)}\n${table([[...titles, 'HIT RATE', 'PAYS FROM', 'SAVED', 'WRONG', 'REPORTED'], ...body])}`;
}

export function entriesText({ data, last_id: last, has_more: hasMore }: z.infer<typeof entriesJson>): string {
  if (data.length === 0) return 'There is no such entry.\n';
  const withQuestions = data.some(({ question }) => question !== undefined);
  const rows = data.map((entry) => [
    ...[entry.id, entry.tenant, entry.model, entry.category, entry.tags.join(', ') || '-'],
    ...[timeText(entry.created * 1000), byteText(entry.bytes), String(entry.hits)],
    ...(withQuestions ? [questionText(entry.question)] : []),
  ]);
  const titles = ['ENTRY', 'TENANT', 'MODEL', 'CATEGORY', 'TAGS', 'MADE', 'SIZE', 'HITS'];
  const more = hasMore ? `There are older ones: --after ${last}\n` : '';
  return table([[...titles, ...(withQuestions ? ['QUESTION'] : [])], ...rows]) + more;
}

export function sizeText({ entries, bytes }: { readonly entries: number; readonly bytes: number }): string {
  return `${entries} ${entries === 1 ? 'entry' : 'entries'} (${byteText(bytes)})`;
}

function questionText(question: string | null | undefined): string {
  if (question == null) return '-';
  const characters = Array.from(question.replaceAll(/\s+/g, ' '));
  return characters.length <= MOST_SHOWN
    ? characters.join('')
    : `${characters.slice(0, MOST_SHOWN).join('')}...`;
}

function shareText(share: number | null): string {
  return share === null ? '-' : `${(100 * share).toFixed(1)} %`;
}

const UNITS = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
] as const;

function durationText(seconds: number): string {
  for (const [unit, length] of UNITS) {
    if (seconds >= length) return `${Number((seconds / length).toFixed(1))} ${unit}`;
  }
  return `${Number(seconds.toFixed(1))} s`;
}
