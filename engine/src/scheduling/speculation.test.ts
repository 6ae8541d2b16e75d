import { describe, expect, it } from 'vitest';
import { GREEDY } from '../../../test/support/sampling.ts';
import { CostModel } from './cost-model.ts';
import { Sequence } from './sequence.ts';
import { LONGEST_MATCH, MOST_DRAFTS, SHORTEST_MATCH, Speculation } from './speculation.ts';

const LENGTHS = LONGEST_MATCH - SHORTEST_MATCH + 1;

let handles = 0;
function sequence(key = ''): Sequence {
  const handle = handles++;
  return new Sequence({
    id: `s${handle}`,
    handle,
    prompt: new Uint32Array(4),
    adapter: null,
    sampling: GREEDY,
    maxTokens: 100,
    tenant: 'a',
    weight: 1,
    priority: 'normal',
    prefixRoot: null,
    lengthKeys: [key],
    arrived: 0,
    deadline: null,
  });
}

/** Costs on a machine where reading the weights takes as long as so many rows. */
function costsOf(fixedRows: number): CostModel {
  const costs = new CostModel({ attentionScale: 1000 });
  for (let step = 0; step < 500; step++) {
    const decodeRows = 1 + (step % 8);
    costs.stepped({ decodeRows, prefillWork: 0, seconds: 0.001 * (fixedRows + decodeRows) });
  }
  return costs;
}

/** Lets a sequence's matches of all lengths be right in some of ten cases. */
function observe(made: Speculation, each: Sequence, rightOfTen: number, times = 400): void {
  for (let index = 0; index < times; index++) {
    for (let length = SHORTEST_MATCH; length <= LONGEST_MATCH; length++) {
      made.observe(each, (index * 7) % 10 < rightOfTen ? length : -length);
    }
  }
}

describe('CostModel.rowShare', () => {
  it('learns what a row adds to a step', () => {
    for (const fixedRows of [2, 8, 25]) {
      const costs = costsOf(fixedRows);
      for (const rows of [1, 4, 16]) {
        const expected = 1 / (fixedRows + rows);
        expect(costs.rowShare(rows) / expected).toBeGreaterThan(0.8);
        expect(costs.rowShare(rows) / expected).toBeLessThan(1.25);
      }
    }
  });

  it('guesses as long as all steps are of one size, and outlives a disturbed step', () => {
    const costs = new CostModel({ attentionScale: 1000 });
    expect(costs.rowShare(1)).toBeCloseTo(1 / 9);
    for (let step = 0; step < 100; step++) costs.stepped({ decodeRows: 4, prefillWork: 0, seconds: 0.01 });
    expect(costs.rowShare(4)).toBeCloseTo(1 / 12);
    costs.stepped({ decodeRows: 5, prefillWork: 0, seconds: 10 });
    expect(costs.rowShare(4)).toBeLessThan(1 / 2);
  });
});

describe('Speculation', () => {
  it('drafts nothing where it is off, and after every match where it always does', () => {
    const each = sequence();
    expect(new Speculation('off', costsOf(8)).plan([each], 512)).toBeNull();
    const always = new Speculation('always', costsOf(8)).plan([each, sequence()], 5)!;
    expect([...always.after]).toEqual(new Array(2 * LENGTHS).fill(MOST_DRAFTS));
    expect(always.most).toBe(3);
    expect(new Speculation('always', costsOf(8)).plan([each], 1)).toBeNull();
  });

  it('drafts for a sequence whose matches hold, and stops when they fail', () => {
    const made = new Speculation('auto', costsOf(8));
    const each = sequence();
    observe(made, each, 9);
    expect(made.plan([each], 512)!.after[0]).toBe(MOST_DRAFTS);
    observe(made, each, 0);
    expect(made.plan([each], 512)).toBeNull();
    // A match is watched without being drafted for, so drafting comes back.
    observe(made, each, 9, 20);
    expect(made.plan([each], 512)!.after[0]).toBeGreaterThan(0);
  });

  it('drafts fewer tokens the less they are worth', () => {
    const most = [9, 7, 5, 3, 1].map((rightOfTen) => {
      const made = new Speculation('auto', costsOf(8));
      const each = sequence();
      observe(made, each, rightOfTen);
      return made.plan([each], 512)?.after[0] ?? 0;
    });
    expect(most).toEqual([...most].sort((a, b) => b - a));
    expect(most[0]).toBe(MOST_DRAFTS);
    expect(most.at(-1)).toBeLessThan(2);
  });

  it('drafts less the more decode together, and nothing where a row is dear', () => {
    const most = [1, 2, 4, 16, 64].map((size) => {
      const made = new Speculation('auto', costsOf(8));
      const batch = Array.from({ length: size }, () => sequence());
      for (const each of batch) observe(made, each, 7, 50);
      return made.plan(batch, 512)?.after[0] ?? 0;
    });
    expect(most).toEqual([...most].sort((a, b) => b - a));
    expect(most[0]).toBeGreaterThan(2);
    expect(most.at(-1)).toBe(0);
  });

  it('stops under load, however surely matches hold, and comes back when that has passed', () => {
    const made = new Speculation('auto', costsOf(8));
    const crowd = Array.from({ length: 64 }, () => sequence());
    for (const each of crowd) observe(made, each, 10);
    const most = (size: number) => made.plan(crowd.slice(0, size), 512)?.after[LENGTHS - 1] ?? null;
    expect(most(1)).toBe(MOST_DRAFTS);
    // A further row costs as much as a token of the step does.
    expect(most(64)).toBeNull();
    expect(most(1)).toBe(MOST_DRAFTS);
  });

  it('never has a neighbour that gains nothing wait long', () => {
    const costs = costsOf(30);
    const made = new Speculation('auto', costs);
    const [gains, other] = [sequence('gains'), sequence('other')];
    observe(made, gains, 10);
    observe(made, other, 0);
    for (let step = 0; step < 50; step++) {
      made.stepped(gains, 6);
      made.stepped(other, 1);
    }
    const shared = made.plan([gains, other], 512)!;
    expect([...shared.after.slice(LENGTHS)]).toEqual(new Array(LENGTHS).fill(0));
    expect(shared.most * costs.rowShare(2)).toBeLessThanOrEqual(0.25);
    // Where both gain, both may have more.
    for (let step = 0; step < 50; step++) made.stepped(other, 6);
    expect(made.plan([gains, other], 512)!.most).toBeGreaterThan(shared.most);
  });

  it('takes a new sequence for what the others of its adapter were', () => {
    const made = new Speculation('auto', costsOf(8));
    observe(made, sequence('copies'), 10);
    observe(made, sequence('invents'), 0);
    expect(made.plan([sequence('copies')], 512)!.after[0]).toBe(MOST_DRAFTS);
    expect(made.plan([sequence('invents')], 512)).toBeNull();
  });
});
