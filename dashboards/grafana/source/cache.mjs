import { choice, dashboard, history, lines, number, table } from './panels.mjs';
import { CATEGORY, rate, SERVER, share, sum } from './queries.mjs';

const LOOKED_UP = `${CATEGORY}, result!="bypass"`;
/** Of what a category is known of. */
const ASKED = `${CATEGORY}, category!="-"`;
const HIT = `${ASKED}, result=~"hit_.+"`;
/** @type {('hit_exact' | 'hit_similar' | 'hit_shared' | 'miss' | 'bypass')[]} */
const RESULTS = ['hit_exact', 'hit_similar', 'hit_shared', 'miss', 'bypass'];

/** Of a category that never had a hit there is no series of any. @param {string} hits @param {string} all */
const hitShare = (hits, all) => share(`(${hits} or 0 * ${all})`, all);

/** @param {string} metric @param {string} matchers @param {string} by @param {number} quantile */
const quantile = (metric, matchers, by, quantile) =>
  `histogram_quantile(${quantile}, ${rate(`${metric}_bucket`, matchers, `le, ${by}`)})`;

export const cache = dashboard({
  uid: 'polylora-cache',
  title: 'Semantic cache',
  description:
    'What the answer cache finds in each category, what that saves, how often it is wrong, and how it is set at this moment.',
  variables: [choice('category', 'Category', 'polylora_cache_entries{job=~"$job"}')],
  sections: [
    {
      title: 'Hits',
      panels: [
        lines({
          title: 'Share of hits, by category',
          description:
            'Of the requests whose category is known, those that were answered from the cache. Those that nothing was looked for are among the others.',
          unit: 'percentunit',
          max: 1,
          queries: [
            {
              expr: hitShare(
                rate('polylora_cache_lookups_total', HIT, 'category'),
                rate('polylora_cache_lookups_total', ASKED, 'category'),
              ),
              legend: '{{category}}',
            },
          ],
        }),
        lines({
          title: 'Requests, by what the cache did',
          description:
            'Requests a second: the same question was answered before (`hit_exact`), one that asks for the same (`hit_similar`), its answer was being made for another (`hit_shared`), nothing was found (`miss`), or nothing was looked for (`bypass`; of all categories, as there may be none).',
          unit: 'reqps',
          stacked: true,
          series: RESULTS,
          queries: [
            { expr: rate('polylora_cache_lookups_total', LOOKED_UP, 'result'), legend: '{{result}}' },
            { expr: rate('polylora_cache_lookups_total', `${SERVER}, result="bypass"`), legend: 'bypass' },
          ],
        }),
        lines({
          title: 'Similar questions that were turned down',
          description:
            'Questions a second that were near enough, but of which verification said that they ask for something else.',
          unit: 'suffix: /s',
          queries: [
            { expr: rate('polylora_cache_rejected_total', CATEGORY, 'category'), legend: '{{category}}' },
          ],
        }),
      ],
    },
    {
      title: 'Savings',
      panels: [
        lines({
          title: 'Tokens that were not computed',
          description:
            'Tokens a second of prompts and answers that were not computed, as the cache had the answer.',
          unit: 'suffix: tok/s',
          stacked: true,
          queries: [
            {
              expr: rate('polylora_cache_saved_tokens_total', CATEGORY, 'category, kind'),
              legend: '{{category}}: {{kind}}',
            },
          ],
        }),
        lines({
          title: 'Computing that was saved',
          description:
            'Seconds of computing a second that the answers from the cache took when they were made: 1 is one stream of answers, all the time.',
          unit: 'short',
          stacked: true,
          queries: [
            {
              expr: rate('polylora_cache_saved_compute_seconds_total', CATEGORY, 'category'),
              legend: '{{category}}',
            },
          ],
        }),
        lines({
          title: 'Hits beyond break-even',
          description:
            'Share of hits among all requests of a category since the server started, less the share from which on the cache costs no more time than it saves. Below 0 a category would be faster without a cache.',
          unit: 'percentunit',
          min: -1,
          max: 1,
          queries: [
            {
              expr: `${hitShare(
                sum('polylora_cache_lookups_total', HIT, 'category'),
                sum('polylora_cache_lookups_total', ASKED, 'category'),
              )} - on (category) max by (category) (polylora_cache_break_even_hit_rate{${CATEGORY}})`,
              legend: '{{category}}',
            },
          ],
        }),
      ],
    },
    {
      title: 'Wrong answers',
      panels: [
        lines({
          title: 'Wrong hits: estimate and interval',
          description:
            'Share of answers to similar questions that were wrong, by those that were checked lately, with an interval of 95 % (dashed). The low end above the category’s target means that something is wrong for certain, and an alert tells.',
          unit: 'percentunit',
          width: 16,
          max: 1,
          band: '/ (low|high)$/',
          queries: [
            {
              expr: `max by (category, bound) (polylora_cache_false_hit_rate{${CATEGORY}})`,
              legend: '{{category}} {{bound}}',
            },
            {
              expr: `max by (category) (polylora_cache_false_hit_target{${CATEGORY}})`,
              legend: '{{category}} target',
            },
          ],
        }),
        lines({
          title: 'Checks and reports',
          description:
            'How many checks each estimate is of, older ones counting less, and answers that somebody reported as wrong within the last hour.',
          unit: 'short',
          queries: [
            {
              expr: sum('polylora_cache_false_hit_checks', CATEGORY, 'category'),
              legend: '{{category}}: checks',
            },
            {
              expr: `sum by (category) (increase(polylora_cache_reports_total{${CATEGORY}}[1h]))`,
              legend: '{{category}}: reports',
            },
          ],
        }),
      ],
    },
    {
      title: 'Categories now',
      panels: [
        table({
          title: 'Categories',
          description:
            'What holds in each category now, with what checks and load have changed: the least cosine of questions that are compared, the least probability that they ask for the same, for how long an answer is given, and what the category has in the cache, also of its quota.',
          unit: 'none',
          width: 16,
          height: 10,
          by: ['category'],
          columns: [
            { title: 'Threshold' },
            { title: 'Strictness' },
            { title: 'Time to live', unit: 's' },
            { title: 'Entries', unit: 'short' },
            { title: 'Of its entries', unit: 'percentunit' },
            { title: 'Bytes', unit: 'bytes' },
            { title: 'Of its bytes', unit: 'percentunit' },
            { title: 'Pays from', unit: 'percentunit' },
          ],
          queries: [
            { expr: `max by (category) (polylora_cache_similarity_threshold{${CATEGORY}})` },
            { expr: `max by (category) (polylora_cache_strictness{${CATEGORY}})` },
            { expr: `max by (category) (polylora_cache_ttl_seconds{${CATEGORY}})` },
            { expr: `max by (category) (polylora_cache_entries{${CATEGORY}})` },
            {
              expr: `max by (category) (polylora_cache_entries{${CATEGORY}} / polylora_cache_max_entries{${CATEGORY}})`,
            },
            { expr: `max by (category) (polylora_cache_bytes{${CATEGORY}})` },
            {
              expr: `max by (category) (polylora_cache_bytes{${CATEGORY}} / polylora_cache_max_bytes{${CATEGORY}})`,
            },
            { expr: `max by (category) (polylora_cache_break_even_hit_rate{${CATEGORY}})` },
          ],
        }),
        lines({
          title: 'Relaxation',
          description:
            'How far the categories that allow it are gone towards their bounds because of load, from 0 to 1, and how long requests wait for the backend, in seconds.',
          unit: 'short',
          height: 10,
          queries: [
            { expr: `max (polylora_cache_relaxation{${SERVER}})`, legend: 'relaxation' },
            { expr: `max (polylora_cache_wait_seconds{${SERVER}})`, legend: 'wait, s' },
          ],
        }),
        lines({
          title: 'Thresholds',
          description: 'Least cosine between two questions of which one is answered as the other was.',
          unit: 'short',
          width: 12,
          min: 0.7,
          max: 1,
          queries: [
            {
              expr: `max by (category) (polylora_cache_similarity_threshold{${CATEGORY}})`,
              legend: '{{category}}',
            },
          ],
        }),
        lines({
          title: 'Strictness',
          description: 'Least probability, by verification, that two questions ask for the same.',
          unit: 'short',
          width: 12,
          min: 0.5,
          max: 1,
          queries: [
            { expr: `max by (category) (polylora_cache_strictness{${CATEGORY}})`, legend: '{{category}}' },
          ],
        }),
      ],
    },
    {
      title: 'Time of a lookup',
      panels: [
        lines({
          title: 'Lookups (p95), by result',
          description:
            'How long it took to look for an answer, with the embedding of its question: 95 of 100 take less.',
          unit: 's',
          queries: [
            {
              expr: quantile('polylora_cache_lookup_seconds', CATEGORY, 'result', 0.95),
              legend: '{{result}}',
            },
          ],
          series: RESULTS,
        }),
        lines({
          title: 'Embedding a question (p95)',
          description:
            'How long a lookup waited for the embedding of its question, which was made, or was late (or failed): then nothing similar is looked for.',
          unit: 's',
          queries: [
            {
              expr: quantile('polylora_cache_embedding_seconds', SERVER, 'outcome', 0.95),
              legend: '{{outcome}}',
            },
          ],
        }),
        lines({
          title: 'Verification (p95)',
          description:
            'How long it took to tell whether a similar question asks for the same, by the verifier or by the base model.',
          unit: 's',
          queries: [
            {
              expr: quantile('polylora_cache_verification_seconds', SERVER, 'by, outcome', 0.95),
              legend: '{{by}}: {{outcome}}',
            },
          ],
        }),
      ],
    },
    {
      title: 'What it keeps',
      panels: [
        lines({
          title: 'Entries',
          description: 'Entries of the cache, by category.',
          unit: 'short',
          stacked: true,
          queries: [
            { expr: `max by (category) (polylora_cache_entries{${CATEGORY}})`, legend: '{{category}}' },
          ],
        }),
        lines({
          title: 'What leaves, by reason',
          description:
            'Entries a second that were taken out: by `quota` their category was full, `replaced` by a newer answer, `outdated` because their adapter is not served any more.',
          unit: 'suffix: /s',
          stacked: true,
          queries: [{ expr: rate('polylora_cache_evictions_total', SERVER, 'reason'), legend: '{{reason}}' }],
        }),
        lines({
          title: 'Memory',
          description:
            'About how much memory the index of questions takes, and the answers that are kept in memory, too.',
          unit: 'bytes',
          queries: [
            { expr: sum('polylora_cache_index_bytes', SERVER), legend: 'index' },
            { expr: sum('polylora_cache_answer_bytes', SERVER), legend: 'answers' },
          ],
        }),
        lines({
          title: 'In memory, and in the making',
          description:
            'Questions that similar ones are found by, answers that are kept in memory, and answers that are being made and that whoever asks the same will share.',
          unit: 'short',
          queries: [
            { expr: sum('polylora_cache_index_entries', SERVER), legend: 'indexed questions' },
            { expr: sum('polylora_cache_answers', SERVER), legend: 'answers' },
            { expr: sum('polylora_cache_flights', SERVER), legend: 'in the making' },
          ],
        }),
        history({
          title: 'Store',
          description:
            'Whether the store of each server’s cache answers. While it is away requests go on, and only what is in memory is found.',
          unit: 'none',
          texts: { 0: ['away', 'red'], 1: ['there', 'green'] },
          thresholds: [
            [null, 'red'],
            [1, 'green'],
          ],
          queries: [{ expr: `polylora_cache_store_up{${SERVER}}`, legend: '{{instance}}' }],
        }),
        number({
          title: 'Bytes in the store',
          description:
            'What the entries take in the store, about. Servers that share a store have the same entries: the largest is shown.',
          unit: 'bytes',
          width: 8,
          height: 8,
          thresholds: [[null, 'blue']],
          queries: [{ expr: `max (sum by (instance) (polylora_cache_bytes{${CATEGORY}}))`, legend: 'bytes' }],
        }),
      ],
    },
  ],
});
