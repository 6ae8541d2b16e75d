/** What panels say of metrics that are known, by promtool. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { filledIn, PANEL_QUERIES } from '../support/dashboards.ts';
import { HAS_PROMETHEUS, PROMTOOL } from '../support/prometheus.ts';

const lookups = (category: string, result: string, values: string) => ({
  series: `polylora_cache_lookups_total{job="polylora", instance="a:8080", category="${category}", result="${result}"}`,
  values,
});
const breakEven = (category: string, value: number) => ({
  series: `polylora_cache_break_even_hit_rate{job="polylora", instance="a:8080", category="${category}"}`,
  values: `${value}x240`,
});

/** A tenth of what is asked of `support` is answered from the cache, nothing of `chat`; of others there is no category. */
const CACHE = [
  lookups('support', 'hit_exact', '0+1x240'),
  lookups('support', 'miss', '0+3x240'),
  lookups('support', 'bypass', '0+6x240'),
  lookups('chat', 'miss', '0+5x240'),
  lookups('-', 'bypass', '0+7x240'),
  breakEven('support', 0.04),
  breakEven('chat', 0.2),
];

/** Has promtool compare what a panel's first query says after an hour. @throws Error with its words where that is something else */
function compare(title: string, input: typeof CACHE, expected: Readonly<Record<string, number>>): void {
  const { expr } = PANEL_QUERIES.find(({ where }) => where.endsWith(`: ${title} (A)`))!;
  const samples = Object.entries(expected).map(([labels, value]) => ({ labels, value }));
  const test = {
    interval: '15s',
    input_series: input,
    promql_expr_test: [{ expr: `round(${filledIn(expr)}, 0.001)`, eval_time: '60m', exp_samples: samples }],
  };
  const directory = mkdtempSync(join(tmpdir(), 'polylora-panel-'));
  try {
    const file = join(directory, 'test.yml');
    writeFileSync(file, JSON.stringify({ rule_files: [], evaluation_interval: '1m', tests: [test] }));
    execFileSync(PROMTOOL, ['test', 'rules', file], { encoding: 'utf8', stdio: 'pipe' });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe.skipIf(!HAS_PROMETHEUS)('the cache’s panels', () => {
  it('have a share of all that was asked, as break-even does, and 0 of what never was a hit', () => {
    compare('Share of hits, by category', CACHE, { '{category="support"}': 0.1, '{category="chat"}': 0 });
    compare('Hits beyond break-even', CACHE, { '{category="support"}': 0.06, '{category="chat"}': -0.2 });
    expect(() => compare('Hits beyond break-even', CACHE, {})).toThrow();
  });
});
