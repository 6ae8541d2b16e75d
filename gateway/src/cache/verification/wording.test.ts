import { describe, expect, it } from 'vitest';
import { readWording } from './wording.ts';
import { WORDING_FEATURES, wordingFeatures } from './wording-features.ts';

const forms = (text: string) => readWording(text).words.map(({ form }) => form);
const compare = (one: string, other: string) => {
  const values = wordingFeatures(readWording(one), readWording(other));
  expect(values).toHaveLength(WORDING_FEATURES.length);
  return Object.fromEntries(WORDING_FEATURES.map((name, index) => [name, values[index]!]));
};

describe('how a question is read', () => {
  it.each([
    ['Name twelve colours', 'name 12 colors please'],
    ['15% of 1,200', '15 percent of 1200'],
    ['twenty-five metres', '25 meters'],
    ['5 thousand users', '5000 user'],
    ["What's Norway's capital?", 'what is the capital of norway'],
    ['How do I sign in?', 'how can i log in'],
  ])('reads %s as %s', (one, other) => {
    expect(forms(one).sort()).toEqual(forms(other).sort());
  });

  it('keeps what numbers, quotes and names are', () => {
    const { words } = readWording('Translate "two dogs" in get_user for Anna');
    expect(words.find(({ form }) => form === '2')?.kind).toBe('number');
    expect(words.find(({ form }) => form === 'dog')?.isQuoted).toBe(true);
    expect(words.filter(({ isName }) => isName).map(({ plain }) => plain)).toEqual(['get_user', 'anna']);
  });
});

describe('what is told of two questions', () => {
  it('sees numbers, negations, opposites, siblings and turned directions', () => {
    expect(compare('20% of 50', '25% of 50').numbersMore).toBeGreaterThan(0);
    expect(compare('fruits that contain iron', "fruits that don't contain iron").negationsDiffer).toBe(1);
    expect(compare('enable dark mode', 'disable dark mode').opposites).toBeGreaterThan(0);
    expect(compare('weather on Monday', 'weather on Friday').siblings).toBeGreaterThan(0);
    expect(compare('trains from Bath to Bristol', 'trains from Bristol to Bath').rolesSwapped).toBe(1);
    expect(compare('who wrote Hamlet', 'when was Hamlet written').askedDiffers).toBe(1);
  });

  it('sees a typo and a synonym as the same word', () => {
    const features = compare('delete a picture in the gallery', 'remove a photo in the galery');
    expect(features.unmatchedMore).toBe(0);
    expect(features.typos).toBeGreaterThan(0);
    expect(features.synonyms).toBeGreaterThan(0);
  });

  it('is the same whichever comes first', () => {
    const [one, other] = ['convert 3 miles from here to Rome', 'How do I convert 4 km from Rome to there?'];
    const [first, second] = [compare(one, other), compare(other, one)];
    for (const name of WORDING_FEATURES) expect(first[name]).toBeCloseTo(second[name]!, 9);
  });
});
