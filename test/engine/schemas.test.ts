/**
 * Two hundred schemas and more that others wrote: what a model with random weights writes under them, ajv takes; what cannot be
 * enforced is refused by name.
 */
import type { Engine } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, startTinyEngine, tokens } from '../support/engine.ts';
import { REAL_WORLD, readSchemas, readSuite, type Schema, validator } from '../support/schemas.ts';

const PATIENCE_MS = 600_000;
const AT_ONCE = 32;

let engine: Engine;
beforeAll(async () => {
  engine = await startTinyEngine('llama', { poolBytes: 128 << 20, maxRunning: AT_ONCE });
}, PATIENCE_MS);
afterAll(() => engine?.close());

interface Outcome {
  readonly refused: string | null;
  readonly complete: number;
  readonly wrong: readonly string[];
}

/** Draws some answers. Those that are cut off say nothing. */
async function draw(schema: Schema, draws: number): Promise<Outcome> {
  const complaint = validator(schema);
  let complete = 0;
  const wrong: string[] = [];
  for (let seed = 0; seed < draws; seed++) {
    const answer = await ask(engine, {
      prompt: tokens([5, 9, seed + 10]),
      sampling: {
        constraint: { kind: 'json_schema', field: 'schema', schema: JSON.stringify(schema), lenient: false },
        temperature: seed % 2 === 0 ? 1 : 1.6,
        // Else a model with random weights seldom closes what it opened.
        logitBias: CLOSING,
        maxTokens: 400,
        seed,
      },
    });
    if (answer.error !== null) return { refused: answer.error.message, complete, wrong };
    if (answer.finish?.reason !== 'stop') continue;
    complete++;
    const found = complaint(JSON.parse(answer.text));
    if (found !== null) wrong.push(`${found}: ${answer.text.slice(0, 300)}`);
  }
  return { refused: null, complete, wrong };
}

const CLOSING: [number, number][] = [];

async function inBatches<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = new Array(items.length);
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < items.length; index = next++) results[index] = await work(items[index]!);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}

describe('schemas that others wrote', { timeout: PATIENCE_MS }, () => {
  it.each(REAL_WORLD)('%s: answers are what ajv takes', async (file) => {
    const schemas = await readSchemas(file);
    const outcomes = await inBatches(schemas, ({ schema }) => draw(schema, 4));
    for (const [index, { wrong }] of outcomes.entries()) expect(wrong, schemas[index]!.name).toEqual([]);
    const refused = outcomes.flatMap(({ refused: why }, index) =>
      why === null ? [] : [`${schemas[index]!.name}: ${why}`],
    );
    const complete = outcomes.filter((outcome) => outcome.complete > 0).length;
    console.log(
      file,
      schemas.length,
      'schemas',
      complete,
      'with complete answers',
      refused.length,
      'refused',
      refused,
    );
  });

  it('the JSON Schema Test Suite: answers are what ajv takes', async () => {
    const groups = await readSuite();
    const outcomes = await inBatches(groups, ({ schema }) => draw(schema, 3));
    const refused: string[] = [];
    for (const [index, { wrong, refused: why }] of outcomes.entries()) {
      const { file, description } = groups[index]!;
      if (why !== null) refused.push(`${file}: ${description}: ${why}`);
      expect.soft(wrong, `${file}: ${description}`).toEqual([]);
    }
    const complete = outcomes.filter((outcome) => outcome.complete > 0).length;
    console.log('suite', groups.length, 'complete', complete, 'refused', refused.length, refused);
  });
});
