/** Whether drafting pays, on machines as they are measured and with texts of all sorts: driven through thousands of steps without an engine. */
import { describe, expect, it } from 'vitest';
import { GREEDY } from '../../../test/support/sampling.ts';
import { CostModel } from './cost-model.ts';
import { Sequence } from './sequence.ts';
import { LONGEST_MATCH, SHORTEST_MATCH, Speculation } from './speculation.ts';

const LENGTHS = LONGEST_MATCH - SHORTEST_MATCH + 1;
/** Steps that the engine runs between two decisions. */
const RUN = 16;
const STEPS = 6000;

/** Milliseconds of a step of so many rows. */
type Machine = (rows: number) => number;

const MACHINES: Readonly<Record<string, Machine>> = {
  // kernels.md's processor, AVX2: flat to three rows, then a tile of four for each further four.
  'two cores with AVX2': (rows) => [0, 6.3, 6.4, 6.6, 8.2, 10.8, 11.7, 13.5, 15.2][rows] ?? 6.3 + 1.25 * rows,
  'rows nearly for nothing': (rows) => 20 + 0.1 * rows,
  'rows nearly as dear as a step': (rows) => 0.5 + rows,
};

/** How often the next token is foretold rightly: by the length of the match. */
interface Text {
  /** How often there is a match of the shortest length where there was none. */
  readonly begins: number;
  readonly right: (length: number) => number;
}

const TEXTS: Readonly<Record<string, Text>> = {
  'nothing comes again': { begins: 0, right: () => 0 },
  'chance matches, mostly wrong': { begins: 0.3, right: () => 0.1 },
  'chat: few matches, some right': { begins: 0.1, right: (length) => Math.min(0.6, 0.1 * length) },
  'half of them right': { begins: 0.4, right: () => 0.5 },
  'a quoted text': { begins: 0.4, right: (length) => Math.min(0.96, 0.5 + 0.1 * length) },
};

/** A linear congruential generator (Numerical Recipes), between 0 and 1. */
function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Tokens a second with drafts ÷ without: of all streams, and of the one that is worst off. */
function gains(machine: Machine, texts: readonly Text[], seed: number): { all: number; least: number } {
  const random = numbers(seed);
  const costs = new CostModel({ attentionScale: 1000 });
  const speculation = new Speculation('auto', costs);
  const streams = texts.map((text, index) => ({ text, match: 0, tokens: 0, sequence: sequence(index) }));
  const batch = streams.map(({ sequence: each }) => each);
  let milliseconds = 0;
  for (let step = 0; step < STEPS; step += RUN) {
    const plan = speculation.plan(batch, 512);
    for (let within = 0; within < RUN; within++) {
      let left = plan?.most ?? 0;
      let rows = 0;
      for (const [index, stream] of streams.entries()) {
        const { text, sequence: each } = stream;
        const most =
          plan === null || stream.match === 0
            ? 0
            : plan.after[index * LENGTHS + stream.match - SHORTEST_MATCH]!;
        const drafts = Math.min(left, most);
        left -= drafts;
        rows += 1 + drafts;
        let came = 0;
        for (let goesOn = true; goesOn; ) {
          const right = stream.match > 0 && random() < text.right(stream.match);
          speculation.observe(each, right ? stream.match : -stream.match);
          goesOn = right && came < drafts;
          if (right) stream.match = Math.min(LONGEST_MATCH, stream.match + 1);
          else stream.match = random() < text.begins ? SHORTEST_MATCH : 0;
          came++;
        }
        speculation.stepped(each, came);
        stream.tokens += came;
      }
      // A machine that others use too: most steps take a little longer, some much.
      const disturbed = 1 + 0.3 * random() + (random() < 0.01 ? 5 * random() : 0);
      milliseconds += machine(rows);
      costs.stepped({ decodeRows: rows, prefillWork: 0, seconds: (machine(rows) * disturbed) / 1000 });
    }
  }
  const without = milliseconds / machine(streams.length);
  const each = streams.map(({ tokens }) => tokens / without);
  return { all: each.reduce((sum, gain) => sum + gain, 0) / each.length, least: Math.min(...each) };
}

function sequence(handle: number): Sequence {
  return new Sequence({
    id: `s${handle}`,
    handle,
    prompt: new Uint32Array(4),
    adapter: null,
    sampling: GREEDY,
    maxTokens: STEPS,
    tenant: 'a',
    weight: 1,
    priority: 'normal',
    prefixRoot: null,
    // Nothing is learnt from neighbours, or one text would be taken for another.
    lengthKeys: [String(handle)],
    arrived: 0,
    deadline: null,
  });
}

describe.each(Object.entries(MACHINES))('on a machine with %s', (_, machine) => {
  it.each([1, 2, 4, 16])('costs next to nothing where it does not pay: %i streams', (size) => {
    for (const [name, text] of Object.entries(TEXTS)) {
      expect(gains(machine, new Array(size).fill(text), 5).all, name).toBeGreaterThan(0.97);
    }
    const mixed = Object.values(TEXTS);
    const texts = Array.from({ length: size }, (_, index) => mixed[index % mixed.length]!);
    const { all, least } = gains(machine, texts, 6);
    expect(all).toBeGreaterThan(0.97);
    // Who gains nothing waits for the others' drafts, but not long.
    expect(least).toBeGreaterThan(0.75);
  });
});

describe('a quoted text', () => {
  it('is written much faster by one stream', () => {
    const quoted = TEXTS['a quoted text']!;
    expect(gains(MACHINES['two cores with AVX2']!, [quoted], 7).all).toBeGreaterThan(1.8);
    expect(gains(MACHINES['rows nearly for nothing']!, [quoted], 7).all).toBeGreaterThan(2.5);
  });
});
