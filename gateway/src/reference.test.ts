import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DEFAULT_CATEGORIES, REASONS } from './cache/categories/defaults.ts';
import { withCategories } from './cache/categories/reference.ts';
import { configurationPage, errorsPage, metricsPage, openaiApiPage } from './reference.ts';

function page(name: string): string {
  return readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
}

// When one of these fails: node scripts/generate-docs.mjs
describe('the generated pages of docs/', () => {
  it('list the options as they are', () => {
    expect(page('configuration.md')).toBe(configurationPage());
  });

  it('list the errors as they are', () => {
    expect(page('errors.md')).toBe(errorsPage());
  });

  it('list the metrics as they are', () => {
    expect(page('metrics.md')).toBe(metricsPage());
  });

  it('list the categories of the answer cache as they are', () => {
    expect(page('cache.md')).toBe(withCategories(page('cache.md')));
    expect(page('cache.md')).toContain('| `time-sensitive` |');
    expect([...DEFAULT_CATEGORIES.keys()]).toEqual(Object.keys(REASONS));
  });

  it('list the fields of requests as they are', () => {
    expect(page('openai-api.md')).toBe(openaiApiPage());
  });
});
