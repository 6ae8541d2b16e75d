import { describe, expect, it } from 'vitest';
import { EndlessTemplates } from './endless-templates.ts';

describe('templates that do not end', () => {
  it('are remembered with the smallest chat that they did not end with', () => {
    const templates = new EndlessTemplates(() => 0);
    templates.add('a', 100);
    expect([99, 100, 101].map((size) => templates.has('a', () => size))).toEqual([false, true, true]);
    templates.add('a', 200);
    templates.add('a', 50);
    expect([49, 50].map((size) => templates.has('a', () => size))).toEqual([false, true]);
    expect(templates.has('b', () => 100)).toBe(false);
  });

  it('are tried again after a while', () => {
    let now = 0;
    const templates = new EndlessTemplates(() => now);
    templates.add('a', 10);
    now = 599_999;
    expect(templates.has('a', () => 10)).toBe(true);
    now = 600_000;
    expect(templates.has('a', () => 10)).toBe(false);
    templates.add('a', 20);
    expect([10, 20].map((size) => templates.has('a', () => size))).toEqual([false, true]);
  });

  it('are so many at most, and those found first are forgotten first', () => {
    const templates = new EndlessTemplates(() => 0);
    for (let index = 0; index < 65; index++) templates.add(`template ${index}`, 1);
    expect(templates.has('template 0', () => 1)).toBe(false);
    expect(templates.has('template 1', () => 1) && templates.has('template 64', () => 1)).toBe(true);
  });
});
