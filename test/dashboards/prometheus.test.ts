/** Prometheus' own checks of its configuration, its rules, and when each alert fires. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { RULES } from '../support/dashboards.ts';
import { configuredFor, HAS_PROMETHEUS, PROMETHEUS_FILES, PROMTOOL } from '../support/prometheus.ts';

const run = promisify(execFile);
const TESTS = readdirSync(join(PROMETHEUS_FILES, 'tests'));

if (!HAS_PROMETHEUS)
  console.warn(
    'Prometheus is not installed (Debian: prometheus): its configuration, rules and alerts are not tested.',
  );

describe.skipIf(!HAS_PROMETHEUS)('promtool', () => {
  it('finds nothing wrong with the configuration and the rules that it names', async () => {
    const directory = configuredFor('127.0.0.1:8080', 'a-key');
    try {
      const { stdout } = await run(
        PROMTOOL,
        ['check', 'config', '--lint=all', '--lint-fatal', 'prometheus.yml'],
        {
          cwd: directory,
        },
      );
      expect(stdout).toContain('2 rule files found');
      expect(stdout).not.toContain('FAILED');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it.each(TESTS)(
    'sees alerts fire and stay quiet as %s says',
    async (file) => {
      await run(PROMTOOL, ['test', 'rules', join(PROMETHEUS_FILES, 'tests', file)]);
    },
    300_000,
  );
});

describe('every alert', () => {
  const expected = TESTS.flatMap((file) => {
    const { tests } = parse(readFileSync(join(PROMETHEUS_FILES, 'tests', file), 'utf8')) as {
      tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[];
    };
    return tests.flatMap(({ alert_rule_test }) => alert_rule_test);
  });

  it.each(RULES.flatMap(({ alert }) => alert ?? []))('%s is seen firing and quiet', (name) => {
    const outcomes = expected.filter(({ alertname }) => alertname === name);
    expect(outcomes.some(({ exp_alerts }) => exp_alerts.length > 0)).toBe(true);
    expect(outcomes.some(({ exp_alerts }) => exp_alerts.length === 0)).toBe(true);
  });
});
