import { expect, it } from 'vitest';
import { drawMeanings, inWords, otherIn } from '../../benchmarks/src/cache/questions.ts';
import { Random } from '../../benchmarks/src/simulation/random.ts';

it('another meaning is the same question but for one word', () => {
  const random = new Random(1);
  for (const meaning of drawMeanings(500, random)) {
    const other = otherIn(meaning, random);
    const [one, two] = [inWords(meaning, 0), inWords(other, 0)];
    expect(two).not.toBe(one);
    // Most of what stays is at the beginning and at the end; a word may come near either.
    let begin = 0;
    while (one[begin] === two[begin]) begin += 1;
    let end = 0;
    while (end < Math.min(one.length, two.length) - begin && one.at(-1 - end) === two.at(-1 - end)) end += 1;
    const shared = begin + end;
    expect(shared, `${one} / ${two}`).toBeGreaterThan(0.3 * Math.min(one.length, two.length));
    // The same change in other words is another question there as well.
    expect(inWords(other, 1)).not.toBe(inWords(meaning, 1));
  }
});
