import { beforeEach, describe, expect, it } from 'vitest';
import { OTHER, TopNames } from './top-names.ts';

const MINUTE = 60_000;

let now: number;
let removed: string[];
let names: TopNames;
beforeEach(() => {
  now = 0;
  removed = [];
  names = new TopNames({ most: 2, now: () => now, onRemoved: (name) => removed.push(name) });
});

describe('names with series of their own', () => {
  it('are the first that come, and the others are counted together', () => {
    expect(['a', 'b', 'c', 'a', 'd'].map((name) => names.label(name))).toEqual(['a', 'b', OTHER, 'a', OTHER]);
    expect([names.peek('a'), names.peek('c')]).toEqual(['a', OTHER]);
  });

  it('have them as soon as they are spoken of, where there is room', () => {
    expect(['a', 'b', 'c'].map((name) => names.peek(name))).toEqual(['a', 'b', OTHER]);
  });

  it('lose them to one that is twice as active, and not for less', () => {
    for (let i = 0; i < 10; i++) names.label('a');
    for (let i = 0; i < 5; i++) names.label('b');
    for (let i = 0; i < 9; i++) expect(names.label('c')).toBe(OTHER);
    expect(names.label('c')).toBe('c');
    expect([removed, ...['a', 'c', 'b'].map((name) => names.peek(name))]).toEqual([['b'], 'a', 'c', OTHER]);
  });

  it('change places seldom, however many are active', () => {
    names.label('a');
    names.label('b');
    for (let i = 0; i < 1_000; i++) names.label(`n${i % 7}`, 5);
    expect(removed).toHaveLength(1);
    now += 10_000;
    for (let i = 0; i < 1_000; i++) names.label(`n${i % 7}`, 5);
    expect(removed).toHaveLength(2);
  });

  it('lose what they have done long ago', () => {
    for (let i = 0; i < 1_000; i++) names.label('a');
    for (let i = 0; i < 1_000; i++) names.label('b');
    now += 60 * MINUTE;
    names.label('a', 500);
    // 1,000 of an hour ago are 16 of now.
    for (let i = 0; i < 31; i++) expect(names.label('c')).toBe(OTHER);
    expect([names.label('c'), removed]).toEqual(['c', ['b']]);
  });

  it('keep their order over years', () => {
    for (let day = 0; day < 1_000; day++) {
      now += 24 * 60 * MINUTE;
      names.label('a', 3);
      names.label('b', 2);
      expect(names.label('c')).toBe(OTHER);
    }
    expect(removed).toEqual([]);
  });

  it('keep as many of the others in mind as there are series, the most active among them', () => {
    names.label('a', 100);
    names.label('b', 100);
    for (let i = 0; i < 10_000; i++) {
      names.label(`visitor ${i}`);
      if (i % 4 === 0) names.label('often', 5);
    }
    now += 10_000;
    expect(names.label('often')).toBe('often');
  });
});
