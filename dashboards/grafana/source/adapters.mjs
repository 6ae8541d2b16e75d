import { buckets, choice, dashboard, heat, history, lines, number, percentiles, table } from './panels.mjs';
import { rate, SERVER } from './queries.mjs';

const ADAPTER = `${SERVER}, lora_name=~"$lora_name"`;

export const adapters = dashboard({
  uid: 'polylora-adapters',
  title: 'Adapters',
  description: 'Which adapters are in memory, what it costs to get them there, and how each of them serves.',
  variables: [choice('lora_name', 'Adapter', 'polylora_adapter_sequences_total{job=~"$job"}')],
  sections: [
    {
      title: 'In memory',
      panels: [
        history({
          title: 'Residency',
          description:
            'When each adapter’s weights were in the page pool, a hundred adapters at most. One that comes and goes is read again each time: a larger pool would keep it.',
          unit: 'none',
          width: 16,
          height: 12,
          texts: { 1: ['in the pool', 'orange'] },
          thresholds: [[null, 'orange']],
          queries: [
            { expr: `max by (lora_name) (polylora_adapter_resident{${ADAPTER}})`, legend: '{{lora_name}}' },
          ],
        }),
        number({
          title: 'Adapters in the pool',
          description: 'Adapters whose weights are in the pool now, of all servers that are chosen together.',
          unit: 'short',
          height: 4,
          thresholds: [[null, 'orange']],
          queries: [{ expr: `count(polylora_adapter_resident{${SERVER}})`, legend: 'adapters' }],
        }),
        number({
          title: 'Share of the pool',
          description: 'Share of the pages that hold adapters.',
          unit: 'percentunit',
          height: 4,
          thresholds: [[null, 'orange']],
          queries: [
            {
              expr: `sum (polylora_pool_pages{${SERVER}, kind=~"adapter|idle_adapter"}) / sum (polylora_pool_pages{${SERVER}})`,
              legend: 'adapters',
            },
          ],
        }),
        table({
          title: 'At work now',
          description:
            'Adapters with sequences in the batch and with sequences that wait, as of the last scrape; `max_lora` is how many distinct ones a batch may have.',
          unit: 'none',
          height: 8,
          by: ['instance', 'running_lora_adapters', 'waiting_lora_adapters', 'max_lora'],
          columns: [{ title: 'As of', unit: 's' }],
          queries: [
            {
              expr: `time() - max by (instance, running_lora_adapters, waiting_lora_adapters, max_lora) (vllm:lora_requests_info{${SERVER}})`,
            },
          ],
        }),
      ],
    },
    {
      title: 'Loads',
      panels: [
        lines({
          title: 'Adapters that come and go',
          description:
            'Adapters a second that were read into the pool, and those that left it, by reason. As many that go as come, all the time: the pool is too small for what is asked for.',
          unit: 'suffix: /s',
          queries: [
            { expr: rate('polylora_adapter_loads_total', SERVER), legend: 'read' },
            { expr: rate('polylora_adapter_evictions_total', SERVER, 'reason'), legend: 'left: {{reason}}' },
          ],
        }),
        lines({
          title: 'Time to load',
          description: 'How long it took to read an adapter’s weights into the pool.',
          unit: 's',
          queries: percentiles('polylora_adapter_load_seconds', SERVER),
        }),
        lines({
          title: 'Failed loads',
          description:
            'Times within the last hour that an adapter could not be loaded: its requests end with `adapter_load_failed`, or `adapter_not_loaded` while the store’s files are away.',
          unit: 'short',
          queries: [
            {
              expr: `sum by (instance) (increase(polylora_adapter_load_failures_total{${SERVER}}[1h]))`,
              legend: '{{instance}}',
            },
          ],
        }),
      ],
    },
    {
      title: 'In a batch',
      panels: [
        lines({
          title: 'Distinct adapters in a step',
          description: 'How many different adapters the sequences of a step use. The base model is none.',
          unit: 'short',
          width: 12,
          queries: percentiles('polylora_batch_adapters', SERVER),
        }),
        heat({
          title: 'Distinct adapters in a step, all steps',
          description: 'How many steps had how many different adapters.',
          unit: 'short',
          width: 12,
          queries: buckets('polylora_batch_adapters', SERVER),
        }),
      ],
    },
    {
      title: 'By adapter',
      panels: [
        lines({
          title: 'Time to first token (p95)',
          description:
            'From a sequence’s arrival to its first token, by adapter: 95 of 100 take less. The fifty most active adapters, the base model among them; the others together as `other`.',
          unit: 's',
          queries: [
            {
              expr: `histogram_quantile(0.95, ${rate('polylora_adapter_first_token_seconds_bucket', ADAPTER, 'le, lora_name')})`,
              legend: '{{lora_name}}',
            },
          ],
        }),
        lines({
          title: 'Sequences',
          description: 'Sequences a second that ended, by adapter.',
          unit: 'suffix: /s',
          stacked: true,
          queries: [
            { expr: rate('polylora_adapter_sequences_total', ADAPTER, 'lora_name'), legend: '{{lora_name}}' },
          ],
        }),
        lines({
          title: 'Tokens',
          description: 'Tokens a second that were generated, by adapter; counted when a sequence ends.',
          unit: 'suffix: tok/s',
          stacked: true,
          queries: [
            {
              expr: rate('polylora_adapter_generation_tokens_total', ADAPTER, 'lora_name'),
              legend: '{{lora_name}}',
            },
          ],
        }),
      ],
    },
  ],
});
