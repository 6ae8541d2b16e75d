import { describe, expect, it } from 'vitest';
import { expose, type Family, formatFor } from './exposition.ts';

const FAMILIES: readonly Family[] = [
  {
    ...{ name: 'polylora_requests_total', help: 'A "quoted" \\ help\nin two lines.', type: 'counter' },
    samples: [{ value: 3, labels: { tenant: 'a"b\\c\nd' } }],
  },
  {
    ...{ name: 'polylora_seconds', help: 'Time.', type: 'histogram' },
    samples: [
      {
        ...{ metricName: 'polylora_seconds_bucket', value: 1, labels: { le: 0.5 } },
        exemplar: { labelSet: { trace_id: 'abc' }, value: 0.25, timestamp: 1_700_000_000.5 },
      },
      { metricName: 'polylora_seconds_bucket', value: 1, labels: { le: '+Inf' }, exemplar: null },
      { metricName: 'polylora_seconds_sum', value: 0.25 },
      { metricName: 'polylora_seconds_count', value: 1 },
    ],
  },
  {
    name: 'polylora_share',
    help: 'Share.',
    type: 'gauge',
    samples: [{ value: Number.NaN }, { value: Infinity }],
  },
];

describe('metrics as text', () => {
  it('are in the format of Prometheus', () => {
    expect(expose(FAMILIES, 'text')).toBe(`# HELP polylora_requests_total A "quoted" \\\\ help\\nin two lines.
# TYPE polylora_requests_total counter
polylora_requests_total{tenant="a\\"b\\\\c\\nd"} 3
# HELP polylora_seconds Time.
# TYPE polylora_seconds histogram
polylora_seconds_bucket{le="0.5"} 1
polylora_seconds_bucket{le="+Inf"} 1
polylora_seconds_sum 0.25
polylora_seconds_count 1
# HELP polylora_share Share.
# TYPE polylora_share gauge
polylora_share NaN
polylora_share +Inf
`);
  });

  it('are in OpenMetrics, with exemplars', () => {
    const lines = expose(FAMILIES, 'openmetrics').split('\n');
    expect(lines.slice(0, 3)).toEqual([
      '# HELP polylora_requests A \\"quoted\\" \\\\ help\\nin two lines.',
      '# TYPE polylora_requests counter',
      'polylora_requests_total{tenant="a\\"b\\\\c\\nd"} 3',
    ]);
    expect(lines).toContain('polylora_seconds_bucket{le="0.5"} 1 # {trace_id="abc"} 0.25 1700000000.5');
    expect(lines.slice(-2)).toEqual(['# EOF', '']);
  });

  it('are in the format that a scraper asks for', () => {
    const prometheus =
      'application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2';
    expect(formatFor(prometheus)).toBe('openmetrics');
    for (const accept of [
      undefined,
      '*/*',
      'text/plain',
      'text/plain, application/openmetrics-text;q=0.1',
      'application/openmetrics-text;q=0',
    ])
      expect(formatFor(accept), accept).toBe('text');
    expect(formatFor('Application/OpenMetrics-Text; version=1.0.0')).toBe('openmetrics');
  });
});
