/** Dashboards as files: whether they are what their source says, and fit to be looked at. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { files } from '../../dashboards/grafana/generate.mjs';
import { DASHBOARD_FILES, DASHBOARDS, panelsOf } from '../support/dashboards.ts';

it('are what `npm run dashboards` writes', () => {
  const generated = files();
  expect(readdirSync(DASHBOARD_FILES).sort()).toEqual([...generated.keys()].sort());
  for (const [name, text] of generated)
    expect(
      readFileSync(join(DASHBOARD_FILES, name), 'utf8') === text,
      `${name} is of an earlier source`,
    ).toBe(true);
});

it('have addresses of their own', () => {
  const all = [...DASHBOARDS.values()];
  expect(new Set(all.map(({ uid }) => uid)).size).toBe(all.length);
  expect(new Set(all.map(({ title }) => title)).size).toBe(all.length);
});

describe.each([...DASHBOARDS])('%s', (_, dashboard) => {
  const panels = panelsOf(dashboard);
  const shown = panels.filter(({ type }) => type !== 'row');

  it('is of a current schema, and says what it is for', () => {
    expect(dashboard.schemaVersion).toBeGreaterThanOrEqual(39);
    expect(dashboard.description).toMatch(/\.$/);
  });

  it('has panels with ids and titles of their own, a unit, and a description in whole sentences', () => {
    expect(shown.length).toBeGreaterThan(0);
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const { title, description = '', fieldConfig } of shown) {
      expect(title).not.toBe('');
      expect(description, title).toMatch(/^[A-Z].*\.$/s);
      expect(description, title).not.toBe(title);
      expect(fieldConfig?.defaults.unit ?? '', title).not.toBe('');
    }
  });

  it('has only kinds of panels that Grafana comes with', () => {
    const core = ['row', 'timeseries', 'stat', 'bargauge', 'table', 'heatmap', 'status-history'];
    for (const { type } of panels) expect(core).toContain(type);
  });

  it('asks the data source that is chosen, each query under a name of its own', () => {
    for (const { title, targets = [], datasource } of shown) {
      expect(targets.length, title).toBeGreaterThan(0);
      expect(new Set(targets.map(({ refId }) => refId)).size, title).toBe(targets.length);
      for (const each of [{ datasource }, ...targets]) {
        const { uid } = each.datasource ?? {};
        expect(uid, title).toBe(`\${datasource}`);
      }
    }
  });

  it('uses the variables that it has, and has those that it uses', () => {
    const text = JSON.stringify(dashboard.panels);
    const own = dashboard.templating.list.map(({ name }) => name);
    for (const name of own) expect(text, name).toContain(name === 'datasource' ? `\${${name}}` : `$${name}`);
    const used = [...text.matchAll(/\$\{?([a-z_]+)/g)].map(([, name = '']) => name);
    for (const name of used) expect([...own, '__rate_interval', '__range']).toContain(name);
  });

  it('has panels beside and below each other, not on top, in rows of the whole width', () => {
    const cells = new Set<string>();
    for (const { title, gridPos } of panels) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(cells.has(`${x} ${y}`), title).toBe(false);
          cells.add(`${x} ${y}`);
        }
    }
    const bottom = Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h));
    expect(cells.size).toBe(24 * bottom);
  });
});

it('latencies with traces show them', () => {
  const shown = [...DASHBOARDS.values()]
    .flatMap(panelsOf)
    .filter(({ targets = [] }) => targets.some(({ exemplar }) => exemplar));
  expect(shown.map(({ title }) => title)).toEqual(
    expect.arrayContaining(['Time to first token', 'Whole sequences', 'In the queue']),
  );
});
