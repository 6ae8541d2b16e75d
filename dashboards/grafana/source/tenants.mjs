import { bars, choice, dashboard, lines, table } from './panels.mjs';
import { rate, SERVER, sum, TENANT } from './queries.mjs';

const SERVICE = 'polylora_tenant_service_tokens_total';

export const tenants = dashboard({
  uid: 'polylora-tenants',
  title: 'Tenants',
  description:
    'Who uses the machine, whether each gets its share, what limits are in the way, and what it costs.',
  variables: [choice('tenant', 'Tenant', 'polylora_tenant_requests_total{job=~"$job"}')],
  sections: [
    {
      title: 'Shares',
      panels: [
        lines({
          title: 'Share of the service',
          description:
            'What each tenant gets of the engine’s work, as the scheduler charges it: a token for each that is read, two for each that is generated, none for those found in the prefix cache. Compare it with its share of the weights beside: only tenants that always have work can ask for all of theirs.',
          unit: 'percentunit',
          stacked: true,
          max: 1,
          queries: [
            {
              expr: `${rate(SERVICE, TENANT, 'tenant')} / on () group_left () (${rate(SERVICE, SERVER)} > 0)`,
              legend: '{{tenant}}',
            },
          ],
        }),
        lines({
          title: 'Share of the weights',
          description:
            'Each tenant’s weight, of the weights of all tenants that have work: the share that it gets of a machine that is full.',
          unit: 'percentunit',
          stacked: true,
          max: 1,
          queries: [
            {
              expr: `max by (tenant) (polylora_tenant_weight{${TENANT}}) / on () group_left () sum (max by (tenant) (polylora_tenant_weight{${SERVER}}))`,
              legend: '{{tenant}}',
            },
          ],
        }),
        lines({
          title: 'Service ÷ weight',
          description:
            'Tokens a second that each tenant with work is charged for, divided by its weight. Lines of tenants that always have work are level; one below them asks for less than it could have.',
          unit: 'suffix: tok/s',
          queries: [
            {
              expr: `${rate(SERVICE, TENANT, 'tenant')} / max by (tenant) (polylora_tenant_weight{${TENANT}})`,
              legend: '{{tenant}}',
            },
          ],
        }),
        lines({
          title: 'Sequences',
          description:
            'Sequences that run or wait, by tenant: the twenty with the most, the others together as `other`.',
          unit: 'short',
          stacked: true,
          queries: [{ expr: sum('polylora_tenant_sequences', TENANT, 'tenant'), legend: '{{tenant}}' }],
        }),
        lines({
          title: 'Time to first token (p95)',
          description: 'From the arrival of a sequence to its first token, by tenant: 95 of 100 take less.',
          unit: 's',
          queries: [
            {
              expr: `histogram_quantile(0.95, ${rate('polylora_tenant_first_token_seconds_bucket', TENANT, 'le, tenant')})`,
              legend: '{{tenant}}',
            },
          ],
        }),
        lines({
          title: 'Requests by outcome',
          description:
            'Requests a second by how they ended: `ok`, `limited` (429), `refused` (another 4xx), `left` (the client did not wait) or `failed` (5xx).',
          unit: 'reqps',
          stacked: true,
          series: ['ok', 'limited', 'refused', 'left', 'failed'],
          queries: [
            { expr: rate('polylora_tenant_requests_total', TENANT, 'outcome'), legend: '{{outcome}}' },
          ],
        }),
      ],
    },
    {
      title: 'Limits',
      panels: [
        lines({
          title: 'Limits hit, by tenant',
          description: 'Requests a second that a limit or a budget was in the way of, by tenant.',
          unit: 'reqps',
          queries: [{ expr: rate('polylora_tenant_limited_total', TENANT, 'tenant'), legend: '{{tenant}}' }],
        }),
        lines({
          title: 'Limits hit, by kind',
          description:
            'Requests a second that a limit or a budget was in the way of, by the error’s code: requests or tokens per minute, requests at once, a budget (held or used up), the size of a request, the queue.',
          unit: 'reqps',
          stacked: true,
          queries: [{ expr: rate('polylora_tenant_limited_total', TENANT, 'code'), legend: '{{code}}' }],
        }),
        lines({
          title: 'Share of requests that are limited',
          description:
            'Of each tenant’s requests, those that were answered with 429. An alert tells of more than 20 % for an hour.',
          unit: 'percentunit',
          max: 1,
          queries: [
            {
              expr: `${rate('polylora_tenant_requests_total', `${TENANT}, outcome="limited"`, 'tenant')} / (${rate('polylora_tenant_requests_total', TENANT, 'tenant')} > 0)`,
              legend: '{{tenant}}',
            },
          ],
        }),
      ],
    },
    {
      title: 'Use and cost',
      panels: [
        lines({
          title: 'Prompt tokens',
          description: 'Prompt tokens a second, by tenant.',
          unit: 'suffix: tok/s',
          stacked: true,
          queries: [
            { expr: rate('polylora_tenant_prompt_tokens_total', TENANT, 'tenant'), legend: '{{tenant}}' },
          ],
        }),
        lines({
          title: 'Generated tokens',
          description: 'Generated tokens a second, by tenant.',
          unit: 'suffix: tok/s',
          stacked: true,
          queries: [
            { expr: rate('polylora_tenant_generation_tokens_total', TENANT, 'tenant'), legend: '{{tenant}}' },
          ],
        }),
        lines({
          title: 'Spend',
          description: 'What each tenant’s requests cost an hour by the price list, in the currency’s unit.',
          unit: 'short',
          stacked: true,
          queries: [
            { expr: `3600 * ${rate('polylora_tenant_spend_total', TENANT, 'tenant')}`, legend: '{{tenant}}' },
          ],
        }),
        bars({
          title: 'Budgets used',
          description:
            'How much of each tenant’s budget is used, of the one that is used the most. Above 90 % an alert tells; once nothing is left requests are refused.',
          unit: 'percentunit',
          width: 12,
          max: 1,
          thresholds: [
            [null, 'green'],
            [0.75, 'yellow'],
            [0.9, 'orange'],
            [1, 'red'],
          ],
          queries: [
            { expr: `max by (tenant) (polylora_tenant_budget_used_ratio{${TENANT}})`, legend: '{{tenant}}' },
          ],
        }),
        table({
          title: 'In the time that is shown',
          description:
            'Requests, tokens and spend of each tenant in the time that is shown. For bills use `polylora tenants spend`, which counts exactly and for good.',
          unit: 'short',
          width: 12,
          by: ['tenant'],
          columns: [
            { title: 'Requests' },
            { title: 'Prompt tokens' },
            { title: 'Generated tokens' },
            { title: 'Spend' },
          ],
          queries: [
            'polylora_tenant_requests_total',
            'polylora_tenant_prompt_tokens_total',
            'polylora_tenant_generation_tokens_total',
            'polylora_tenant_spend_total',
          ].map((metric) => ({ expr: `sum by (tenant) (increase(${metric}{${TENANT}}[$__range]))` })),
        }),
      ],
    },
  ],
});
