/**
 * Answers that must have a form. Mostly on a tiny model with random weights, which writes the unlikeliest things: what it writes
 * has the form all the same.
 */
import type { Constraint, Engine, SamplingParams } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, ask, startTinyEngine, tokens } from '../support/engine.ts';
import { expectSameBits } from '../support/same-bits.ts';

const PATIENCE_MS = 120_000;
const PROMPT = tokens([5, 9, 33, 12]);

let engine: Engine;
beforeAll(async () => {
  engine = await startTinyEngine('llama', { poolBytes: 64 << 20 });
}, PATIENCE_MS);
afterAll(() => engine?.close());

const schema = (value: unknown, lenient = false): Constraint => ({
  kind: 'json_schema',
  field: 'guided_json',
  schema: JSON.stringify(value),
  lenient,
});
const PERSON = schema({
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 12 },
    age: { type: 'integer', minimum: 0, maximum: 150 },
    tags: { type: 'array', items: { enum: ['a', 'b', 'c'] }, maxItems: 3 },
  },
  required: ['name', 'age', 'tags'],
  additionalProperties: false,
});

function constrained(constraint: Constraint, sampling: Partial<SamplingParams> = {}, from = engine) {
  return ask(from, {
    prompt: PROMPT,
    sampling: { constraint, temperature: 1, maxTokens: 200, seed: 1, ...sampling },
  });
}

describe('a constrained answer', { timeout: PATIENCE_MS }, () => {
  it('parses and ends by itself, at any temperature', async () => {
    for (const temperature of [0, 1, 2]) {
      for (let seed = 0; seed < 8; seed++) {
        const answer = await constrained(PERSON, { temperature, seed });
        expect(answer.error).toBeNull();
        expect(answer.finish?.reason).toBe('stop');
        const value = JSON.parse(answer.text) as { name: string; age: number; tags: string[] };
        expect(Object.keys(value)).toEqual(['name', 'age', 'tags']);
        expect(value.age).toBeGreaterThanOrEqual(0);
        expect(value.age).toBeLessThanOrEqual(150);
        expect([...value.name].length).toBeLessThanOrEqual(12);
      }
    }
  });

  it('may be a choice, a pattern, a grammar or any object', async () => {
    const choice = await constrained({
      kind: 'choice',
      field: 'guided_choice',
      choices: ['yes', 'no', 'für 1/2'],
    });
    expect(['yes', 'no', 'für 1/2']).toContain(choice.text);
    const date = await constrained({ kind: 'regex', field: 'guided_regex', pattern: '^\\d{4}-\\d{2}$' });
    expect(date.text).toMatch(/^\d{4}-\d{2}$/);
    const lark = 'start: "(" term ("+" term)* ")"\nterm: /[0-9]{1,3}/';
    const sum = await constrained({ kind: 'grammar', field: 'guided_grammar', grammar: lark });
    if (sum.finish?.reason === 'stop') expect(sum.text).toMatch(/^\(\d{1,3}(\+\d{1,3})*\)$/);
    const object = await constrained(
      { kind: 'json_object', field: 'response_format' },
      { maxTokens: 500, seed: 4 },
    );
    if (object.finish?.reason === 'stop') expect(JSON.parse(object.text)).toBeTypeOf('object');
    else expect(object.text).toMatch(/^\{/);
  });

  it('is cut off where it is as long as it may be', async () => {
    const answer = await constrained(PERSON, { maxTokens: 5 });
    expect(answer.finish?.reason).toBe('length');
    expect(answer.ids).toHaveLength(5);
  });

  it('ends when it is complete, whatever else was asked for', async () => {
    const yes: Constraint = { kind: 'choice', field: 'guided_choice', choices: ['yes'] };
    const answer = await constrained(yes, { ignoreEos: true });
    expect(answer).toMatchObject({ text: 'yes', finish: { reason: 'stop' } });
  });

  it('fails by itself where nothing that is allowed can be chosen', async () => {
    const yes: Constraint = { kind: 'choice', field: 'guided_choice', choices: ['yes'] };
    const [failed, other] = await Promise.all([
      constrained(yes, { minTokens: 50 }),
      constrained(PERSON, { seed: 3 }),
    ]);
    expect(failed.error).toMatchObject({ code: 'constraint_failed' });
    expect(failed.error?.message).toContain('min_tokens');
    expect(other.error).toBeNull();
    expect(JSON.parse(other.text)).toBeTypeOf('object');
  });

  it('keeps to its form whatever is added to the logits', async () => {
    const pull: [number, number][] = Array.from({ length: 300 }, (_, token) => [
      token,
      token % 2 === 0 ? 100 : -100,
    ]);
    const answer = await constrained(PERSON, {
      logitBias: pull,
      repetitionPenalty: 0.5,
      presencePenalty: -2,
    });
    expect(answer.error).toBeNull();
    if (answer.finish?.reason === 'stop') expect(JSON.parse(answer.text)).toBeTypeOf('object');
  });

  it('reports the probabilities of the raw logits', async () => {
    const yes: Constraint = { kind: 'choice', field: 'guided_choice', choices: ['yes'] };
    const free = await ask(engine, { prompt: PROMPT, sampling: { maxTokens: 1, logprobs: 3 } });
    const bound = await constrained(yes, { logprobs: 3, temperature: 0 });
    expect(bound.logprobs[0]?.top).toEqual(free.logprobs[0]?.top);
  });

  it('has the same bits alone and beside others', async () => {
    const asks = Array.from({ length: 12 }, (_, index) => ({
      prompt: tokens([5 + index, 9, 33]),
      sampling: {
        temperature: index % 3 === 0 ? 0 : 1 + index / 10,
        seed: index,
        maxTokens: 40 + index,
        logprobs: 2,
        constraint:
          index % 4 === 3
            ? null
            : index % 2 === 0
              ? PERSON
              : schema({ type: 'array', items: { type: 'integer' } }),
      },
    }));
    const alone: Answer[] = [];
    for (const each of asks) alone.push(await ask(engine, each));
    const together = await Promise.all(asks.map((each) => ask(engine, each)));
    for (const [index, answer] of together.entries())
      expectSameBits(answer, alone[index]!, `request ${index}`);
  });
});

describe('a constraint that cannot be used', { timeout: PATIENCE_MS }, () => {
  it.each([
    [schema({ properties: { a: { not: {} } } }), 'invalid_schema', 'guided_json, at /properties/a/not'],
    [schema({ type: 'strin' }), 'invalid_schema', 'at /type'],
    [{ kind: 'json_schema', field: 'f', schema: '{', lenient: false } as const, 'invalid_schema', 'not JSON'],
    [
      { kind: 'regex', field: 'guided_regex', pattern: '(a' } as const,
      'invalid_grammar',
      'Invalid guided_regex',
    ],
    [{ kind: 'grammar', field: 'g', grammar: 'start: missing' } as const, 'invalid_grammar', 'missing'],
    [
      { kind: 'grammar', field: 'g', grammar: 'start: start' } as const,
      'invalid_grammar',
      'no text satisfies it',
    ],
  ])('is refused: %j', async (constraint, code, words) => {
    const { error } = await constrained(constraint);
    expect(error?.code).toBe(code);
    expect(error?.message).toContain(words);
  });

  it('does not hold up others, who may ask for the same', async () => {
    const bad = schema({ type: 'strin' });
    const answers = await Promise.all([constrained(bad), constrained(bad), constrained(PERSON)]);
    expect(answers.map(({ error }) => error?.code)).toEqual(['invalid_schema', 'invalid_schema', undefined]);
  });
});
